package model

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/plan"
)

// What from stands for where it is not a router.
const (
	nowhere = -2 // there is no way
	ownSite = -1 // a static route into the own site
)

// The ranks of ranked4 and ranked6 in bird.conf, and what a draining router is worth.
const (
	direct    = 100
	otherZone = 90
	carried   = 80
	drained   = 0

	ownTunnelFirst = 1<<32 - 1 // the MED of what the own site's other routers have
	zoneMED        = 50        // a higher one is another zone's
)

// A path is the AS numbers from the neighbour to the owner. Paths share their ends.
type path struct {
	as, last plan.AS
	length   int
	next     *path
}

func (p *path) len() int {
	if p == nil {
		return 0
	}
	return p.length
}

func (p *path) has(as plan.AS) bool {
	for ; p != nil; p = p.next {
		if p.as == as {
			return true
		}
	}
	return false
}

func prepend(as plan.AS, p *path) *path {
	out := &path{as: as, last: as, length: p.len() + 1, next: p}
	if p != nil {
		out.last = p.last
	}
	return out
}

// A way is a router's best route to a prefix.
type way struct {
	from     int // the router that it was learned from, which is the next hop; or ownSite, nowhere
	inside   bool
	shutdown bool // it carries GRACEFUL_SHUTDOWN
	pref     int
	med      int64
	path     *path
	out      *path // path with the router's own AS before it, for other sites
}

// told returns what becomes of router i's way at the other end of its session s: what
// the export filter lets out and the import filter lets in.
func (n *Network) told(p, i int, s *session, best way) (way, bool) {
	if best.from == nowhere || best.from == s.peer || n.prefixes[p].Addr().Is6() && !s.dual {
		return way{}, false // nothing, or BIRD's rule: never back to where it is from
	}
	from, to := &n.routers[i], &n.routers[s.peer]
	originated := best.from == ownSite && from.med[p] >= 0
	w := way{from: i, inside: s.inside, pref: direct, shutdown: best.shutdown || from.drain}
	if s.inside {
		// to_same_site, and BIRD's rule that iBGP's routes are not told to iBGP
		if !originated && (best.from == ownSite || best.inside || best.path.len() == 0) {
			return way{}, false
		}
		w.path, w.med = best.path, best.med
		if originated {
			w.med = from.med[p]
		} else {
			w.pref = best.pref
		}
		w.pref = min(w.pref, rank(w))
		w.med = ownTunnelFirst
	} else {
		// to_other_site. A MED of somebody else's goes no further.
		switch {
		case originated:
			w.med = from.med[p]
		case !from.transit || best.from == ownSite || best.path.len() == 0 || best.path.len() >= plan.LongestPath ||
			best.path.has(to.as):
			return way{}, false
		}
		w.path = best.out
		carries := to.sessions[s.back].carries
		if w.path.has(to.as) || !carries && w.path.last != from.as {
			return way{}, false
		}
		w.pref = rank(w)
		if to.drain {
			w.pref = drained
		}
	}
	if w.shutdown {
		w.pref = drained
	}
	owner := to.owner[p]
	if w.path.len() == 0 {
		return w, owner == to.as
	}
	// owned: the own site's networks are in no line of it
	return w, owner == w.path.last && owner != to.as
}

func rank(w way) int {
	switch {
	case w.path.len() > 1:
		return carried
	case w.med > zoneMED:
		return otherZone
	}
	return direct
}

// better reports whether BIRD takes a rather than b (bgp_rte_better). No two routers have one id.
func (n *Network) better(a, b way) bool {
	switch {
	case b.from == nowhere || a.from == nowhere:
		return a.from != nowhere
	case b.from == ownSite || a.from == ownSite:
		return b.from != ownSite
	case a.pref != b.pref:
		return a.pref > b.pref
	case a.path.len() != b.path.len():
		return a.path.len() < b.path.len()
	case a.med != b.med:
		return a.med < b.med
	case a.inside != b.inside:
		return b.inside
	}
	return n.routers[a.from].id.Less(n.routers[b.from].id)
}

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
