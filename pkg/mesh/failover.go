package mesh

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/order"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// failover returns a router's part in keeping the tables of its site right.
func (n *network) failover(self *router) plan.Failover {
	out := plan.Failover{
		Router: self.name, Cloud: self.site.Cloud,
		Prefixes: []netip.Prefix{}, Tables: []string{}, Peers: []plan.FailoverPeer{},
		Partners: []plan.FailoverPartner{},
	}
	if !slices.ContainsFunc(n.routers, func(r *router) bool { return r.site == self.site && len(r.RouteTables) > 0 }) {
		return out
	}
	// When the router itself is cut off, its sessions go down one after the other,
	// up to one interval apart. It has to see that it is alone before it acts.
	out.After = n.bird(self).BFD.Interval
	out.Tables = append(out.Tables, self.RouteTables...)
	// Also what a third router carries: the zone's packets come here for all of it.
	for _, s := range n.others(self) {
		out.Prefixes = append(out.Prefixes, s.networks...)
	}
	for _, l := range n.links(self) {
		p := plan.FailoverPeer{Name: l.peer.name, BFDSession: plan.BFDSession{Interface: l.name, Address: l.theirs}}
		if l.peer.site != self.site {
			out.Peers = append(out.Peers, p)
			continue
		}
		out.Partners = append(out.Partners, plan.FailoverPartner{
			FailoverPeer: p, Tables: append([]string{}, l.peer.RouteTables...), Before: n.before(self, l.peer),
		})
	}
	// A network without IPv6 has no use for routes of it, and its cloud refuses them.
	out.Prefixes = slices.DeleteFunc(sorted(out.Prefixes), func(x netip.Prefix) bool {
		return !slices.ContainsFunc(self.site.networks, func(own netip.Prefix) bool {
			return own.Addr().Is4() == x.Addr().Is4()
		})
	})
	return out
}

// before lists who goes before self in standing in for of: who has no tunnel to it is not
// told that it is down.
func (n *network) before(self, of *router) []string {
	rank := func(r *router) int {
		if r.Zone == of.Zone {
			return r.ID
		}
		return plan.MaxID + r.ID
	}
	var others []*router
	for _, r := range n.routers {
		if r.site == self.site && r != of && rank(r) < rank(self) &&
			n.joined(self, r) && n.joined(r, of) && n.watches(r) {
			others = append(others, r)
		}
	}
	order.By(others, func(a, b *router) int { return cmp.Compare(rank(a), rank(b)) })
	out := []string{}
	for _, r := range others {
		out = append(out, r.name)
	}
	return out
}

// watches reports whether the router has a tunnel to another site, by which it knows
// that it is well. Without one it can keep no table.
func (n *network) watches(r *router) bool {
	return slices.ContainsFunc(n.routers, func(o *router) bool { return o.site != r.site && n.joined(r, o) })
}

// checkRouteTables checks that each table has one router that cares for it, and
// a cloud where that makes sense.
func (n *network) checkRouteTables(p *Problems) {
	owner := map[string][]string{}
	for _, r := range n.routers {
		if len(r.RouteTables) == 0 || r.site == nil {
			continue
		}
		switch r.site.Cloud {
		case "aws":
		case "azure":
			p.add("router %s: route_tables: on Azure the load balancer's probe moves the traffic: "+
				"leave them out, and point routes at its address (cloud_routes)", r.name)
		default:
			p.add("router %s: route_tables: site %s has cloud %q, and only the tables of aws are moved: leave them out",
				r.name, r.Site, r.site.Cloud)
		}
		for _, table := range r.RouteTables {
			switch {
			case table == "":
				p.add("router %s: route_tables: one is empty: give the ids of the route tables of its zone", r.name)
			case slices.Contains(owner[table], r.name):
				p.add("router %s: route_tables: %s is listed twice: keep one", r.name, table)
			default:
				owner[table] = append(owner[table], r.name)
			}
		}
		switch {
		case !n.elsewhere(r.site):
			p.add("router %s: route_tables: there is no router of another site, so no route to put into them: "+
				"leave them out", r.name)
		case !n.watches(r) && !slices.ContainsFunc(n.routers, (*router).unread):
			p.add("router %s: route_tables: it has no tunnel to another site, so it cannot know whether it is well: "+
				"give it an endpoint, or its tables to another router", r.name)
		}
	}
	for table, names := range owner {
		if len(names) > 1 {
			p.add("routers %s: route_tables: all have %s: leave it with one; the others take it while that one is down",
				cause.List(names), table)
		}
	}
	n.warnOrphanTables(owner)
	n.warnAloneTables()
}

// warnOrphanTables names the tables for which nobody cares since their router is absent.
func (n *network) warnOrphanTables(owner map[string][]string) {
	for name, r := range n.Routers {
		for _, table := range r.RouteTables {
			if r.State == StateAbsent && owner[table] == nil {
				n.warned.add("router %s is absent, so nobody cares for route table %s: give it to another router",
					name, table)
			}
		}
	}
}

// warnAloneTables names the routers for which no other one of their site can stand in.
func (n *network) warnAloneTables() {
	for _, r := range n.routers {
		others, able := false, false
		for _, o := range n.routers {
			if o != r && o.site == r.site {
				others = true
				able = able || o.unread() || n.joined(o, r) && n.watches(o)
			}
		}
		if len(r.RouteTables) > 0 && r.site != nil && others && !able && !r.unread() {
			n.warned.add("router %s: route_tables: nobody can stand in for it: "+
				"no other router of site %s has a tunnel to it and one to another site: give one of them an endpoint",
				r.name, r.Site)
		}
	}
}
