package mesh

import (
	"cmp"
	"net/netip"

	"github.com/wgmesh/router/pkg/plan"
)

// outer is the UDP port of a tunnel at a router's public address, and inner the one
// that it listens on. They differ where address translation changes the port.
func (n *network) outer(r, peer *router) int {
	l := r.Links[peer.name]
	return cmp.Or(l.EndpointPort, l.ListenPort, cmp.Or(r.EndpointPortBase, n.PortBase)+plan.Number(r.ID, peer.ID))
}

func (n *network) inner(r, peer *router) int {
	return cmp.Or(r.Links[peer.name].ListenPort,
		cmp.Or(r.ListenPortBase, r.EndpointPortBase, n.PortBase)+plan.Number(r.ID, peer.ID))
}

// at is where a caller reaches a router for their tunnel, zero when it cannot. What is
// said for the caller's site is a direct way: no port is changed on it.
func (n *network) at(r, caller *router) netip.AddrPort {
	if a, found := r.callers[caller.Site]; found {
		return netip.AddrPortFrom(a, uint16(n.inner(r, caller)))
	}
	if r.endpoint.IsValid() {
		return netip.AddrPortFrom(r.endpoint, uint16(n.outer(r, caller)))
	}
	return netip.AddrPort{}
}

// joined reports whether two routers have a tunnel: one of them can call the other.
func (n *network) joined(a, b *router) bool {
	return a != b && (n.at(a, b).IsValid() || n.at(b, a).IsValid())
}

// carried says that a router has no tunnel to another site, and gets there all the same.
func (n *network) carried(self *router, s *site) bool {
	alive := false
	for _, r := range n.routers {
		if r.site == s && n.joined(self, r) {
			return false
		}
		alive = alive || r.site == s
	}
	return alive && s != self.site
}

// linked has each pair of sites with a tunnel.
func (n *network) linked() map[[2]*site]bool {
	out := map[[2]*site]bool{}
	for i, a := range n.routers {
		for _, b := range n.routers[:i] {
			if !out[[2]*site{a.site, b.site}] && n.joined(a, b) {
				out[[2]*site{a.site, b.site}], out[[2]*site{b.site, a.site}] = true, true
			}
		}
	}
	return out
}

// transit lists the sites without a tunnel to s, which a router's site has one to, as to s: it
// carries what they have for s. Nil: it carries nothing for others.
func (n *network) transit(self *router, s *site, linked map[[2]*site]bool) []plan.AS {
	if !self.site.transits() {
		return nil
	}
	out := []plan.AS{}
	for _, o := range n.sites {
		if o != s && !linked[[2]*site{o, s}] && linked[[2]*site{o, self.site}] && linked[[2]*site{s, self.site}] {
			out = append(out, o.AS)
		}
	}
	return out
}

// carrier is a router that carries what two routers without a tunnel have for each
// other: of one of their sites, or of a third one that may. Routers of one site need
// nobody for that, but each a tunnel.
func (n *network) carrier(a, b *router) *router {
	for _, c := range n.routers {
		if c.site == nil || !n.joined(a, c) || !n.joined(b, c) {
			continue
		}
		if a.site == b.site || c.site == a.site || c.site == b.site || c.site.transits() {
			return c
		}
	}
	return nil
}
