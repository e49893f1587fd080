package model

import (
	"net/netip"
	"slices"
)

// Why packets do not arrive.
const (
	NoRoute    = "no route"
	Loop       = "loop"
	NotAllowed = "allowed_ips"   // a tunnel on the way does not take them
	Stolen     = "not its owner" // they end at a site that does not own the prefix
)

// A View is the network after some faults have come and all is at rest again.
type View struct {
	n       *Network
	faults  []Fault
	down    state
	ways    [][]way
	changed []int // the prefixes with other ways than in health
}

// After returns the network after faults; without any it is the healthy one.
func (n *Network) After(faults ...Fault) *View {
	v := &View{n: n, faults: faults, down: n.state(faults), ways: make([][]way, len(n.prefixes))}
	for p := range n.prefixes {
		row, changed := n.without(p, v.down)
		v.ways[p] = row
		if outer := n.prefixes[p].outer; changed || outer >= 0 && slices.Contains(v.changed, outer) {
			v.changed = append(v.changed, p)
		}
	}
	return v
}

// Way names the routers that packets of a router's site to a network go by, and says why
// they do not arrive, which is nothing when they do. A network without a prefix of its own
// is a part of the longest one that it is in.
func (v *View) Way(name string, to netip.Prefix) (way []string, why string) {
	i := slices.IndexFunc(v.n.routers, func(r router) bool { return r.name == name })
	p := -1
	for at, x := range v.n.prefixes {
		if x.Bits() <= to.Bits() && x.Contains(to.Addr()) && (p < 0 || x.Bits() > v.n.prefixes[p].Bits()) {
			p = at
		}
	}
	if i < 0 || p < 0 || v.down.router[i] {
		return nil, NoRoute
	}
	hops, why := v.walk(p, i, nil)
	for _, hop := range hops {
		way = append(way, v.n.routers[hop].name)
	}
	return way, why
}

// next is where a router sends packets to a prefix: by the longest match that it has.
func (v *View) next(p, i int) int {
	for ; p >= 0; p = v.n.prefixes[p].outer {
		if w := v.ways[p][i]; w.from != nowhere {
			return w.from
		}
	}
	return nowhere
}

// walk follows packets of router i's site to a prefix, and returns the routers on the
// way and why they do not arrive, which is nothing when they do. hops is reused.
func (v *View) walk(p, i int, hops []int) ([]int, string) {
	n := v.n
	hops = append(hops[:0], i)
	for {
		from := v.next(p, i)
		switch {
		case from == nowhere:
			return hops, NoRoute
		case from == ownSite && n.routers[i].as != n.prefixes[p].as:
			return hops, Stolen
		case from == ownSite:
			return hops, ""
		case slices.Contains(hops, from):
			return append(hops, from), Loop
		}
		s := n.session(i, from)
		if !s.allowed[p] || !v.accepts(from, s.back, hops[0]) {
			return append(hops, from), NotAllowed
		}
		hops, i = append(hops, from), from
	}
}

// accepts reports whether a router's tunnel takes packets from the networks of another
// router's site.
func (v *View) accepts(at, session, origin int) bool {
	return v.n.routers[at].sessions[session].sources[v.n.routers[origin].at]
}
