package status

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/rtnl"
)

// Before is what worked before a change, to compare with after it.
type Before struct {
	// Worked are the peers whose sessions were up, BFD included. Silent are those
	// of them that did not answer each ping: to ask for it later would be unjust.
	Worked []string `json:"worked"`
	Silent []string `json:"silent"`
	// Over are the tunnels of those that worked: a peer may get another name in the
	// change. A journal of an older program has none.
	Over []End `json:"over"`
	// Routed are the networks to which BIRD had a way through a tunnel.
	Routed []netip.Prefix `json:"routed"`
}

// An End is the tunnel to a peer: its interface, and the peer's address in it.
type End struct {
	Peer    string     `json:"peer"`
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
}

// ObserveBefore looks once at everything that a request is about, and pings. The
// prefixes of the request do not matter. Where BIRD does not run nothing worked; of
// one that does not answer that is not known, which is an error.
func ObserveBefore(ctx context.Context, r Request) (Before, error) {
	out := Before{Worked: []string{}, Silent: []string{}, Routed: []netip.Prefix{}}
	if len(r.Tunnels) == 0 {
		return out, nil
	}
	o := Observe(ctx, r, true)
	if errors.Is(o.BirdErr, birdc.ErrNotRunning) {
		return out, nil
	}
	if o.BirdErr != nil {
		return out, o.BirdErr
	}
	devices := map[string]bool{}
	for i, t := range r.Tunnels {
		devices[t.Name] = true
		if _, wrong := checkSession(&r, t, &o.Tunnels[i]); wrong {
			continue
		}
		out.Worked = append(out.Worked, t.Peer)
		out.Over = append(out.Over, End{Peer: t.Peer, Name: t.Name, Address: t.Address})
		if len(checkTunnel(&r, t, &o.Tunnels[i], &o)) > 0 {
			out.Silent = append(out.Silent, t.Peer)
		}
	}
	var err error
	out.Routed, err = routed(ctx, devices)
	return out, err
}

// routed lists the networks to which BIRD has a way out of one of these devices.
func routed(ctx context.Context, devices map[string]bool) ([]netip.Prefix, error) {
	out := []netip.Prefix{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := dumpRoutes(ctx, family)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			dst, ok := rtnl.Prefix(r.Dst)
			if !ok || r.Protocol != unix.RTPROT_BIRD {
				continue
			}
			route, err := describeRoute(r)
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(route.Devices, func(d string) bool { return devices[d] }) {
				out = append(out, dst)
			}
		}
	}
	return out, nil
}
