package status

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/filter"
	"github.com/wgmesh/router/pkg/plan"
)

// An end is where packets begin or end: a network of another site, or one of the own site.
type end struct {
	*plan.StatusPrefix // nil: of the own site
	network            netip.Prefix
	address            netip.Addr
	main               string // where the table main leads
}

func (e *end) as() plan.AS {
	if e.StatusPrefix == nil {
		return 0
	}
	return e.AS
}

// few leaves one network of each site and family where there are many.
func few(ends []*end, tunnels int) []*end {
	if len(ends)*len(ends)*tunnels <= plenty {
		return ends
	}
	seen := map[plan.AS]int{}
	return slices.DeleteFunc(ends, func(e *end) bool {
		family, had := 1, seen[e.as()]
		if e.address.Is4() {
			family = 2
		}
		seen[e.as()] = had | family
		return had&family != 0
	})
}

// A spare packet comes here, or goes another way, only when something is lost.
type spare struct {
	filter.Packet
	third bool        // from one other site to another one
	peer  string      // the router of that site which sends it; empty: one of the own site
	lost  cause.Cause // what becomes of it
}

// spares are packets that the filters are asked for: what the own site has and gets, and leaves by another tunnel when
// the way of now is lost; and what other sites have for each other, out of one tunnel into another. Where these have no
// tunnel to each other, it comes as things are. What is said of a filter is due to the first packet that it drops.
func (f *Forwarding) spares(r *Request, ends []*end, tunnels map[string]bool) {
	for _, third := range []bool{false, true} {
		for i := range r.Tunnels {
			t := &r.Tunnels[i]
			for _, a := range ends {
				for _, b := range ends {
					if a.address.Is4() == b.address.Is4() && a.as() != b.as() {
						f.spareOne(r, t, a, b, tunnels, third)
					}
				}
			}
		}
	}
	for i := range r.Tunnels {
		for _, b := range ends {
			f.second(r, &r.Tunnels[i], b, ends, tunnels)
		}
	}
}

// second asks for what other sites send to one by here that leaves by a tunnel which is not the best now. Whether
// they do cannot be told by it, so it has no peer; that of a few sites is enough for a filter that names the tunnel.
func (f *Forwarding) second(r *Request, t *plan.StatusTunnel, b *end, ends []*end, tunnels map[string]bool) {
	if b.as() == 0 || b.Transit == nil || b.main == t.Name || !r.isSibling(t) && t.AS != b.as() {
		return
	}
	asked := 0
	for _, a := range ends {
		if asked < enough && a.as() != 0 && a.as() != b.as() && a.address.Is4() == b.address.Is4() &&
			tunnels[a.main] && a.main != t.Name {
			asked++
			f.spare = append(f.spare, spare{third: true, Packet: filter.Packet{
				In: a.main, Out: t.Name, Src: a.network, Dst: b.network,
			}})
		}
	}
}

func (f *Forwarding) spareOne(r *Request, t *plan.StatusTunnel, a, b *end, tunnels map[string]bool, third bool) {
	x := spare{Packet: filter.Packet{In: a.main, Out: t.Name, Src: a.network, Dst: b.network}, third: third}
	sibling := r.isSibling(t)
	if third {
		if a.as() == 0 || b.as() == 0 || b.Transit == nil || !sibling && t.AS != a.AS || !tunnels[b.main] {
			return
		}
		if x.In, x.Out, x.Detour = t.Name, b.main, a.main != t.Name; !sibling {
			x.peer = t.Peer
		}
	} else if a.as() != 0 && b.as() != 0 || tunnels[a.main] != (a.as() != 0) || !sibling && t.AS != b.as() {
		return
	}
	if x.In == x.Out {
		return // nobody sends that here
	}
	f.spare = append(f.spare, x)
	if third && slices.Contains(b.Transit, a.AS) {
		to := f.from(t.Name, a.network, a.address)
		to.Dst, to.network, to.site, to.way, to.exact, to.needed = b.address, b.network, b.Site, outward, true, true
		f.add(to)
	}
}

// isSibling reports whether a tunnel leads to another router of the own site.
func (r *Request) isSibling(t *plan.StatusTunnel) bool {
	return slices.Equal(t.Networks, r.SourceNetworks)
}

// A Transit is what a peer's site may send to others through this router when its tunnels to them are lost,
// and a filter here keeps from them. This router cannot know whether it does.
type Transit struct {
	Peer     string         `json:"peer"`
	Networks []netip.Prefix `json:"networks"`
	cause.Cause
}

// transit lists it, of what warnings has found; it is never nil.
func (f *Forwarding) transit() []*Transit {
	out := []*Transit{}
	var last *Transit
	for i := range f.spare {
		x := &f.spare[i]
		if x.peer == "" || x.lost.Found == "" {
			continue
		}
		if last == nil || last.Peer != x.peer || last.Found != x.lost.Found {
			last = &Transit{Peer: x.peer, Cause: x.lost}
			out = append(out, last)
		}
		last.Networks = append(last.Networks, x.Dst)
	}
	return out
}
