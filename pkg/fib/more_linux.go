package fib

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/rtnl"
)

// Inside lists the networks within n, smaller than it, that have a route of their
// own in a table that some rule leads to. The host's own addresses are not among them.
func (t Tables) Inside(n netip.Prefix) []netip.Prefix {
	tables := map[int]bool{}
	for _, rule := range t.rules[family(n.Addr())] {
		tables[rule.Table] = rule.Table != unix.RT_TABLE_LOCAL
	}
	return t.within(n, func(r *netlink.Route) bool { return tables[r.Table] })
}

// Own lists the networks within n, smaller than it, that the host takes for addresses of its own.
func (t Tables) Own(n netip.Prefix) []netip.Prefix {
	return t.within(n, func(r *netlink.Route) bool {
		return r.Table == unix.RT_TABLE_LOCAL && r.Type == unix.RTN_LOCAL
	})
}

func (t Tables) within(n netip.Prefix, counts func(*netlink.Route) bool) []netip.Prefix {
	seen := map[netip.Prefix]bool{}
	var out []netip.Prefix
	routes := t.routes[family(n.Addr())]
	for i := range routes {
		r := &routes[i]
		p, ok := rtnl.Prefix(r.Dst)
		if ok && counts(r) && n.Contains(p.Addr()) && p.Bits() > n.Bits() && !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// Named are the networks that rules and policies of IPsec ask for.
func (t Tables) Named() (out []netip.Prefix) {
	add := func(networks ...*net.IPNet) {
		for _, n := range networks {
			if p, ok := rtnl.Prefix(n); ok {
				out = append(out, p.Masked())
			}
		}
	}
	for _, rules := range t.rules {
		for _, r := range rules {
			add(r.Src, r.Dst)
		}
	}
	for _, p := range t.policies {
		add(p.Src, p.Dst)
	}
	return out
}

// Bird is the interface to which BIRD's route of exactly this network leads; empty: it has none.
func (t Tables) Bird(n netip.Prefix) string {
	if r := t.bird[n]; r != nil {
		return Reason{Route: *r, Found: true, links: t.links}.Device()
	}
	return ""
}
