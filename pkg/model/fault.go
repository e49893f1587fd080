package model

import (
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/order"
)

// The kinds of faults.
const (
	RouterFault   = "router"
	TunnelFault   = "tunnel"
	ZoneFault     = "zone"     // all its routers
	SiteFault     = "site"     // all its routers
	UnderlayFault = "underlay" // all tunnels between two sites
)

// A Fault is what may fail as one.
type Fault struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Same are the groups that have nothing but this one: of a zone with one router the zone.
	Same []Fault `json:"-"`

	key              string // the names that it is of
	routers, tunnels []int
}

func (f Fault) String() string { return f.Kind + " " + f.Name }

// Key is the fault by the names that it is of, in whatever order: the same in another network.
// Interfaces are not among them.
func (f Fault) Key() string { return f.Kind + " of " + f.key }

// Faults lists what may fail, by kind, each once: a zone with one router is that router.
// Routers and tunnels come first, and many says how many they are.
func (n *Network) Faults() (all []Fault, many int) {
	for i, r := range n.routers {
		all = append(all, Fault{Kind: RouterFault, Name: r.name, key: r.name, routers: []int{i}})
	}
	for i, t := range n.tunnels {
		all = append(all, Fault{Kind: TunnelFault, Name: n.tunnelName(t), key: n.between(t), tunnels: []int{i}})
	}
	many = len(all)
	var groups []Fault
	at := map[[3]string]int{} // names of sites may have the sign that is between them
	add := func(kind, a, b, name string, router, tunnel int) {
		i, there := at[[3]string{kind, a, b}]
		if !there {
			i = len(groups)
			at[[3]string{kind, a, b}] = i
			groups = append(groups, Fault{Kind: kind, Name: name, key: a + " and " + b})
		}
		if router >= 0 {
			groups[i].routers = append(groups[i].routers, router)
		}
		if tunnel >= 0 {
			groups[i].tunnels = append(groups[i].tunnels, tunnel)
		}
	}
	for i, r := range n.routers {
		if r.zone != "" {
			add(ZoneFault, r.site, r.zone, r.site+" "+r.zone, i, -1)
		}
		add(SiteFault, r.site, "", r.site, i, -1)
	}
	for i, t := range n.tunnels {
		ends := []string{n.routers[t.ends[0]].site, n.routers[t.ends[1]].site}
		slices.Sort(ends)
		if ends[0] != ends[1] {
			add(UnderlayFault, ends[0], ends[1], strings.Join(ends, "-"), -1, i)
		}
	}
	// A site before its zones: the larger word for the same routers.
	rank := map[string]int{SiteFault: 0, ZoneFault: 1, UnderlayFault: 2}
	order.By(groups, func(a, b Fault) int {
		if a.Kind != b.Kind {
			return rank[a.Kind] - rank[b.Kind]
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, g := range groups {
		if i := slices.IndexFunc(all, func(f Fault) bool {
			return slices.Equal(f.routers, g.routers) && slices.Equal(f.tunnels, g.tunnels)
		}); i >= 0 {
			all[i].Same = append(all[i].Same, g)
		} else {
			all = append(all, g)
		}
	}
	return all, many
}

func (n *Network) tunnelName(t tunnel) string {
	return t.name + " " + n.routers[t.ends[0]].name + "-" + n.routers[t.ends[1]].name
}

// between are the ends by name: their ids may be others in another network.
func (n *Network) between(t tunnel) string {
	a, b := n.routers[t.ends[0]].name, n.routers[t.ends[1]].name
	return min(a, b) + " and " + max(a, b)
}

func (n *Network) state(faults []Fault) state {
	d := state{router: make([]bool, len(n.routers)), tunnel: make([]bool, len(n.tunnels))}
	for _, f := range faults {
		d.routers, d.tunnels = append(d.routers, f.routers...), append(d.tunnels, f.tunnels...)
		for _, i := range f.routers {
			d.router[i] = true
		}
		for _, i := range f.tunnels {
			d.tunnel[i] = true
		}
	}
	return d
}
