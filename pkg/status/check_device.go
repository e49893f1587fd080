package status

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/socket"
)

// checkDevices finds the tunnels that are not as planned, though all that is sent may get through at present.
func checkDevices(r *Request, o *Observation, rep *Report) (out []Problem) {
	large, mtu, most := r.differ(o, func(t plan.StatusTunnel, d Device) (have, want int, differs bool) {
		return d.MTU, t.MTU, t.MTU > 0 && d.MTU > t.MTU // in pieces
	})
	if large != nil {
		out = append(out, Problem{Cause: cause.New(
			"the MTU of %s is larger than planned (%d, expected %d): run the mesh play here", large, mtu, most)})
	}
	moved, port, planned := r.differ(o, func(t plan.StatusTunnel, d Device) (have, want int, differs bool) {
		return d.Port, t.ListenPort, t.ListenPort > 0 && d.Port != t.ListenPort // until the other end has to begin
	})
	if moved != nil {
		out = append(out, Problem{Cause: cause.New(
			"%s: UDP %d is listened on, expected %d: run the mesh play here", moved, port, planned)})
	}
	for i, t := range r.Tunnels {
		taken, wide := r.taken(t, o.Tunnels[i].Device.Others)
		if len(wide) > 0 {
			rep.Warnings = append(rep.Warnings, cause.New("another peer of %s may send as if from the sites (%s): "+
				"run the mesh play here, or look at wg show %s allowed-ips", t.Name, names(wide), t.Name))
		}
		if len(taken) > 0 {
			out = append(out, Problem{Cause: cause.New("another peer of %s takes what goes to %s: "+
				"run the mesh play here, or look at wg show %s allowed-ips", t.Name, names(taken), t.Name)})
		}
	}
	return out
}

// differ lists the tunnels in which a number is not the planned one, and both numbers of the first.
func (r *Request) differ(o *Observation, of func(plan.StatusTunnel, Device) (have, want int, differs bool),
) (names cause.List, have, want int) {
	for i, t := range r.Tunnels {
		s := &o.Tunnels[i]
		a, b, differs := of(t, s.Device)
		if s.DeviceErr != nil || !differs {
			continue
		}
		if names = append(names, t.Name); len(names) == 1 {
			have, want = a, b
		}
	}
	return names, have, want
}

// taken are the networks in the mesh's own that other peers of a tunnel's interface have, unless these are planned,
// too. They take nothing by a wide one around them, but WireGuard lets in by it what the tunnel's peer may not send:
// what says that it comes from a third site, or from this one.
func (r *Request) taken(t plan.StatusTunnel, others []netip.Prefix) (taken, wide []netip.Prefix) {
	for _, u := range r.Tunnels {
		if u.Name == t.Name && u.Peer != t.Peer {
			return nil, nil
		}
	}
	mesh := slices.Clone(r.SourceNetworks)
	for _, p := range r.Prefixes {
		mesh = append(mesh, p.Network)
	}
	for _, n := range others {
		within := func(m netip.Prefix) bool { return m.Bits() <= n.Bits() && m.Contains(n.Addr()) }
		switch {
		case slices.ContainsFunc(mesh, within):
			taken = append(taken, n)
		case slices.ContainsFunc(mesh, n.Overlaps):
			wide = append(wide, n)
		}
	}
	return taken, wide
}

// noSocket is what BIRD says of a session that it could not listen for. It does not try again.
const noSocket = "No listening socket"

// portHolder names the processes that listen on TCP 179, other than BIRD, or is empty.
func portHolder() string {
	held, err := socket.Owners(socket.TCP, plan.BGPPort)
	owners, taken := held[plan.BGPPort]
	switch {
	case err != nil || !taken:
		return ""
	case len(owners) == 0:
		return "a process that cannot be found"
	}
	var names []string
	for _, o := range owners {
		names = append(names, fmt.Sprintf("%s, pid %d", o.Name, o.PID))
	}
	return strings.Join(names, " and ")
}
