package fib

import (
	"net/netip"

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
	seen := map[netip.Prefix]bool{}
	var out []netip.Prefix
	for _, r := range t.routes[family(n.Addr())] {
		p, ok := rtnl.Prefix(r.Dst)
		if ok && tables[r.Table] && n.Contains(p.Addr()) && p.Bits() > n.Bits() && !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// Bird is the interface to which BIRD's route of exactly this network leads; empty:
// it has none.
func (t Tables) Bird(n netip.Prefix) string {
	for _, r := range t.routes[family(n.Addr())] {
		if r.Protocol == unix.RTPROT_BIRD && r.Table == unix.RT_TABLE_MAIN && r.Dst != nil &&
			r.Dst.String() == n.String() {
			return Reason{Route: r, Found: true, links: t.links}.Device()
		}
	}
	return ""
}
