package model

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// A Network is all routers of a mesh with their sessions, and the ways that they have
// while everything works.
type Network struct {
	routers  []router
	prefixes []prefix
	tunnels  []tunnel
	sites    []site
	healthy  [][]way // by prefix, then by router
}

type router struct {
	name, site, zone string
	at               int // its site
	home             int // the prefix that packets come in by this router for; -1: none
	as               plan.AS
	id               netip.Addr // of BGP
	transit, drain   bool
	sessions         []session
	to               []int     // by router: the session to it; -1: none
	owner            []plan.AS // by prefix: whose it is, as this router was told; 0 is nobody
	static           []bool    // by prefix: there is a way into the own site
	med              []int64   // by prefix: what it is announced with; -1: not at all
}

// A session is one BGP session seen from one end.
type session struct {
	peer, back int  // the router at the other end, and its session to this one
	tunnel     int  //
	inside     bool // of one site
	carries    bool // the peer may carry others' traffic
	dual       bool
	allowed    []bool // by prefix: the tunnel takes packets to it, and from it
	sources    []bool // by site: the tunnel takes packets from all its networks
}

type prefix struct {
	netip.Prefix
	outer int // the shortest prefix around it that is longer than all others; -1: none
	as    plan.AS
	site  string
}

// A site is known by its AS number.
type site struct {
	name     string
	as       plan.AS
	routers  []int
	prefixes []int
}

type tunnel struct {
	name string
	ends [2]int
}

// New puts the plans of all routers together. Routers that drain are named.
func New(plans []plan.Plan, draining ...string) *Network {
	n := &Network{}
	plans = slices.Clone(plans)
	order.By(plans, func(a, b plan.Plan) int { return cmp.Compare(a.Router.ID, b.Router.ID) })
	index := n.collect(plans)
	for _, p := range plans {
		r := router{
			name: p.Router.Name, site: p.Router.Site, zone: p.Router.Zone, as: p.Bird.AS, id: p.Bird.RouterID,
			transit: p.Bird.Transit, drain: slices.Contains(draining, p.Router.Name),
			to: slices.Repeat([]int{-1}, len(plans)), owner: make([]plan.AS, len(index)),
			static: make([]bool, len(index)), med: make([]int64, len(index)),
		}
		for _, o := range p.Bird.Owners {
			for _, network := range o.Networks {
				r.owner[index[network]] = o.AS
			}
		}
		for _, s := range p.Bird.Static {
			r.static[index[s.Network]] = true
		}
		for at := range r.med {
			r.med[at] = -1
		}
		for _, o := range p.Bird.Originate {
			r.med[index[o.Network]] = int64(o.MED)
		}
		n.routers = append(n.routers, r)
	}
	n.group()
	n.join(plans)
	n.healthy = make([][]way, len(n.prefixes))
	for p := range n.prefixes {
		n.healthy[p] = n.settled(p)
	}
	return n
}

// collect lists the prefixes and returns their places in the list.
func (n *Network) collect(plans []plan.Plan) map[netip.Prefix]int {
	whose := map[netip.Prefix]plan.Owner{}
	for _, p := range plans {
		for _, s := range p.Bird.Static {
			whose[s.Network] = known(whose[s.Network], plan.Owner{})
		}
		for _, o := range p.Bird.Originate {
			whose[o.Network] = known(whose[o.Network], plan.Owner{})
		}
		for _, o := range p.Bird.Owners {
			for _, network := range o.Networks {
				whose[network] = known(whose[network], o)
			}
		}
	}
	for network, o := range whose {
		n.prefixes = append(n.prefixes, prefix{Prefix: network, outer: -1, as: o.AS, site: o.Site})
	}
	order.By(n.prefixes, func(a, b prefix) int { return a.Prefix.Compare(b.Prefix) }) // an outer one before those in it
	index := make(map[netip.Prefix]int, len(n.prefixes))
	for i, p := range n.prefixes {
		index[p.Prefix] = i
		for j := range i {
			if n.prefixes[j].Bits() < p.Bits() && n.prefixes[j].Contains(p.Addr()) {
				n.prefixes[i].outer = j // the last one is the longest
			}
		}
	}
	return index
}

// group puts routers and prefixes into their sites.
func (n *Network) group() {
	for i := range n.routers {
		r := &n.routers[i]
		if r.at = slices.IndexFunc(n.sites, func(s site) bool { return s.as == r.as }); r.at < 0 {
			r.at = len(n.sites)
			n.sites = append(n.sites, site{name: r.site, as: r.as})
			for p := range n.prefixes {
				if n.prefixes[p].as == r.as {
					n.sites[r.at].prefixes = append(n.sites[r.at].prefixes, p)
				}
			}
		}
		n.sites[r.at].routers = append(n.sites[r.at].routers, i)
		r.home = -1
		for p, med := range r.med {
			if med >= 0 && (r.home < 0 || med < r.med[r.home]) {
				r.home = p
			}
		}
	}
}

func known(have, more plan.Owner) plan.Owner {
	if have.AS != 0 {
		return have
	}
	return more
}

// join makes a session of each pair of neighbours that name one another.
func (n *Network) join(plans []plan.Plan) {
	for i, p := range plans {
		for _, mine := range p.Bird.Neighbors {
			other, theirs, found := far(plans, i, mine)
			if !found {
				continue
			}
			q := plans[other]
			a, b := &n.routers[i], &n.routers[other]
			s := session{
				peer: other, back: len(b.sessions), tunnel: len(n.tunnels),
				inside: p.Bird.AS == q.Bird.AS, dual: mine.Dual() && theirs.Dual(),
			}
			t := s
			t.peer, t.back = i, len(a.sessions)
			s.carries, t.carries = mine.Transit, theirs.Transit
			s.allowed, t.allowed = n.allowed(p, mine.Interface), n.allowed(q, theirs.Interface)
			s.sources, t.sources = n.sources(s.allowed), n.sources(t.allowed)
			a.to[other], b.to[i] = len(a.sessions), len(b.sessions)
			a.sessions, b.sessions = append(a.sessions, s), append(b.sessions, t)
			n.tunnels = append(n.tunnels, tunnel{mine.Interface, [2]int{i, other}})
		}
	}
}

// far finds the other end of a session among the routers after i. By its name: links that
// were adopted may have the addresses of another one.
func far(plans []plan.Plan, i int, mine plan.Neighbor) (int, plan.Neighbor, bool) {
	p := plans[i]
	for j := i + 1; j < len(plans); j++ {
		q := plans[j]
		if mine.AS != q.Bird.AS || mine.Router != "" && mine.Router != q.Router.Name {
			continue
		}
		for _, theirs := range q.Bird.Neighbors {
			if theirs.AS == p.Bird.AS && theirs.Address == mine.LocalAddress && theirs.LocalAddress == mine.Address &&
				(theirs.Router == "" || theirs.Router == p.Router.Name) {
				return j, theirs, true
			}
		}
	}
	return 0, plan.Neighbor{}, false
}

// allowed says, by prefix, what the peer of a tunnel may send and be sent. A plan
// without tunnels, as tests of BGP alone have it, allows everything.
func (n *Network) allowed(p plan.Plan, name string) []bool {
	out := make([]bool, len(n.prefixes))
	i := slices.IndexFunc(p.Tunnels, func(t plan.Tunnel) bool { return t.Name == name })
	for at, network := range n.prefixes {
		out[at] = len(p.Tunnels) == 0
		if i < 0 {
			continue
		}
		for _, peer := range p.Tunnels[i].Peers {
			out[at] = out[at] || slices.ContainsFunc(peer.AllowedIPs, func(a netip.Prefix) bool {
				return a.Bits() <= network.Bits() && a.Contains(network.Addr())
			})
		}
	}
	return out
}

func (n *Network) sources(allowed []bool) []bool {
	out := make([]bool, len(n.sites))
	for i, s := range n.sites {
		out[i] = !slices.ContainsFunc(s.prefixes, func(p int) bool { return !allowed[p] })
	}
	return out
}
