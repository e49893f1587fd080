package model

import (
	"net/netip"
	"slices"
)

// Next names the router that another one sends packets to a prefix to: itself, if it
// has a way into the own site, or nobody.
func (v *View) Next(name string, to netip.Prefix) string {
	i := slices.IndexFunc(v.n.routers, func(r router) bool { return r.name == name })
	p := slices.IndexFunc(v.n.prefixes, func(x prefix) bool { return x.Prefix == to })
	if i < 0 || p < 0 {
		return ""
	}
	switch from := v.ways[p][i].from; from {
	case nowhere:
		return ""
	case ownSite:
		return name
	default:
		return v.n.routers[from].name
	}
}

// Sessions counts the BGP sessions that a router has left.
func (v *View) Sessions(name string) (count int) {
	for i, r := range v.n.routers {
		for k := range r.sessions {
			if r.name == name && !v.down.down(i, &r.sessions[k]) {
				count++
			}
		}
	}
	return count
}

// Moves counts the routers' next hops to prefixes that are others than those of another
// view of a network with the same routers and prefixes.
func (v *View) Moves(other *View) (count int) {
	for p, row := range v.ways {
		for i := range row {
			if row[i].from != other.ways[p][i].from {
				count++
			}
		}
	}
	return count
}
