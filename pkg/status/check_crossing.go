package status

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// checkCrossings finds the routers that do not forward into their sites. A tunnel that
// is not well has been told of, and a host that answers nobody is not a router's fault as
// far as is known. It returns who is blamed, and who is there.
func checkCrossings(r Request, o Observation, rep *Report) (blamed map[string]bool, alive map[netip.Addr]bool) {
	alive = aliveOf(r, o)
	blamed = map[string]bool{}
	dead := map[netip.Addr]bool{}
	for _, c := range o.Crossings {
		if c.err != nil && !errors.Is(c.err, ErrNoAnswer) { // it is not the other one's fault
			if w := cause.New("no ping can be sent for %s to forward (%s): run it as root, or look at the interface",
				c.peer, c.err); !slices.Contains(rep.Warnings, w) {
				rep.Warnings = append(rep.Warnings, w)
			}
			continue
		}
		if c.err == nil || c.direct || !rep.Tunnels[r.tunnel(c.device)] || blamed[c.peer] {
			continue
		}
		if !alive[c.to] {
			dead[c.to] = dead[c.to] || c.named
			continue
		}
		blamed[c.peer] = true
		rep.Problems = append(rep.Problems, Problem{
			Peer: c.peer, About: fmt.Sprintf("tunnel %s to %s", c.device, c.peer),
			Required: r.requires(c.peer), Silent: true,
			Cause: forwardsNothing(c.to),
		})
	}
	for _, a := range addressesOf(dead) {
		through := throughWhom(o, a)
		if !slices.ContainsFunc(through, func(p string) bool { return blamed[p] }) {
			p := nothingComesBack(a, through)
			p.Required = r.requires(through...)
			rep.Problems = append(rep.Problems, p)
		}
	}
	for _, c := range o.Crossings {
		if blamed[c.peer] {
			rep.Tunnels[r.tunnel(c.device)] = false
		}
	}
	return blamed, alive
}

// tunnel is the place of a tunnel in the request.
func (r Request) tunnel(device string) int {
	return slices.IndexFunc(r.Tunnels, func(t plan.StatusTunnel) bool { return t.Name == device })
}

// aliveOf are the addresses that have answered somebody.
func aliveOf(r Request, o Observation) map[netip.Addr]bool {
	alive := map[netip.Addr]bool{}
	for _, c := range o.Crossings {
		alive[c.to] = alive[c.to] || c.err == nil
	}
	for i, t := range r.Reach {
		if o.Probed && o.Targets[i].Err == nil && o.Targets[i].From.IsValid() {
			alive[t.Address] = true
		}
	}
	return alive
}

// throughWhom are the peers that were to forward to an address.
func throughWhom(o Observation, to netip.Addr) (peers []string) {
	for _, c := range o.Crossings {
		if c.to == to && !c.direct && !slices.Contains(peers, c.peer) {
			peers = append(peers, c.peer)
		}
	}
	return peers
}

// nothingComesBack is about an address that answers through no peer. If there is one
// peer only, it is that one's.
func nothingComesBack(of netip.Addr, through []string) Problem {
	if len(through) > 1 {
		return Problem{Silent: true, Cause: cause.New(
			"nothing comes back of %s through %s: see that it runs, and look at its way back and at source/destination checks", of, cause.List(through))}
	}
	return Problem{Silent: true, Peer: through[0], Cause: cause.New(
		"nothing comes back of %s in its site: see that it runs, and look at its way back and at source/destination checks", of)}
}

func forwardsNothing(to netip.Addr) cause.Cause {
	return cause.New(
		"it forwards nothing to %s of its site: look at its gateway, its filters and its VM's source/destination check",
		to)
}

// passes is the router to which this one sends what is for an address; empty: none.
func (r Request) passes(o Observation, to netip.Addr, from netip.Addr) string {
	device := o.Forwarding.tables.Reason(fib.Flow{Src: from, Dst: to}).Device()
	for _, t := range r.Tunnels {
		if t.Name == device {
			return t.Peer
		}
	}
	return ""
}

func addressesOf(set map[netip.Addr]bool) (out []netip.Addr) {
	for a, is := range set {
		if is {
			out = append(out, a)
		}
	}
	order.By(out, netip.Addr.Compare)
	return out
}

// checkSite is about the hosts of the own site that the inventory names.
func checkSite(r Request, o Observation) (out []Problem) {
	for i, s := range o.Hosts {
		if s.Err == nil {
			continue
		}
		way := "no route"
		if x := slices.IndexFunc(o.Forwarding.flows, func(x flow) bool {
			return x.way == inward && x.network.Contains(r.Probe[i])
		}); x >= 0 {
			way = o.Forwarding.flows[x].reason.RouteText()
		}
		out = append(out,
			Problem{
				Cause: cause.New(
					"%s of its own site does not answer (%s): look at mesh_gateway, and that the host runs",
					r.Probe[i], way),
			})
	}
	return out
}

// nothingToTry says that nobody can tell whether this router forwards into its site.
func (r Request) nothingToTry() bool {
	alone := !slices.ContainsFunc(r.Tunnels, func(t plan.StatusTunnel) bool {
		return slices.Equal(t.Networks, r.SourceNetworks)
	})
	return len(r.SourceNetworks) > 0 && len(r.Tunnels) > 0 && len(r.Probe) == 0 && alone
}
