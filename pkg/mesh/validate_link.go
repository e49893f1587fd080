package mesh

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// checkEndpoints checks each tunnel's two outside addresses.
func (n *network) checkEndpoints(p *Problems) {
	var apart, four, six []string
	lost := ties{}
	n.checkOutside(p)
	n.checkShared(p)
	for i, a := range n.routers {
		for _, b := range n.routers[i+1:] {
			if a.ID < 1 || b.ID > plan.MaxID || a.ID == b.ID || a.unread() || b.unread() {
				continue // has been reported; there is no tunnel to speak of
			}
			if !n.joined(a, b) {
				if n.carrier(a, b) == nil {
					lost.add(a.name, b.name, "")
				} else {
					apart = append(apart, a.name+" and "+b.name)
				}
				continue
			}
			toA, toB := n.at(a, b).Addr(), n.at(b, a).Addr()
			if toA.IsValid() && toB.IsValid() && toA.Is4() != toB.Is4() {
				if toA.Is4() {
					a, b = b, a
				}
				six, four = append(six, a.name), append(four, b.name)
			}
		}
	}
	for _, x := range lost.all() {
		p.add("routers %s: none has an endpoint for the others, and no third router carries for them: "+
			"give one an address", cause.List(x.names))
	}
	if len(apart) > 0 {
		n.warned.add("no tunnel between %s: neither has an endpoint, "+
			"and a third router carries their traffic: give one an address", cause.List(apart))
	}
	if len(six) > 0 {
		n.warned.add("%s: only an IPv6 endpoint, where %s have an IPv4 one: "+
			"give one end of such a tunnel both families", cause.List(once(six)), cause.List(once(four)))
	}
}

func (r *router) unread() bool {
	return r.Endpoint != "" && !r.endpoint.IsValid() || len(r.callers) < len(r.Endpoints)
}

// once lists each name once.
func once(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// checkShared checks routers behind one public address: each needs ports of its own there.
func (n *network) checkShared(p *Problems) {
	called, behind := map[netip.AddrPort][]*router{}, map[netip.Addr][]*router{}
	for _, r := range n.routers {
		if !r.endpoint.IsValid() || r.unread() || r.ID < 1 || r.ID > plan.MaxID {
			continue // has been reported
		}
		behind[r.endpoint] = append(behind[r.endpoint], r)
		for port := range n.forwarded(r) {
			at := netip.AddrPortFrom(r.endpoint, uint16(port))
			called[at] = append(called[at], r)
		}
	}
	clash, near := ties{}, ties{}
	for at, routers := range called {
		for _, r := range routers[1:] {
			if r.ID != routers[0].ID {
				clash.add(routers[0].name, r.name, at.String())
			}
		}
	}
	for at, routers := range behind {
		for i, a := range routers {
			for _, b := range routers[i+1:] {
				if clash[a.name] == nil && a.ID != b.ID && n.at(a, b).Addr() == at && n.at(b, a).Addr() == at {
					near.add(a.name, b.name, at.String())
				}
			}
		}
	}
	for _, x := range clash.all() {
		p.add("routers %s: more than one would be called at %s: set endpoint_port_base, or give each its own endpoint",
			cause.List(x.names), cause.List(x.what))
	}
	for _, x := range near.all() {
		n.warned.add("routers %s: all are behind %s and call each other there, which few NATs allow: "+
			"give them endpoints for their own site", cause.List(x.names), cause.List(x.what))
	}
}

// forwarded are the ports of a router's public address at which others call it.
func (n *network) forwarded(r *router) map[int]bool {
	out := map[int]bool{}
	for _, caller := range n.routers {
		if caller.ID != r.ID && n.at(r, caller).Addr() == r.endpoint {
			out[n.outer(r, caller)] = true
		}
	}
	return out
}

// within are routers with an endpoint in a network where none is to be.
type within struct{ names, at []string }

func (w *within) add(r *router, a netip.Addr) {
	w.names, w.at = append(w.names, r.name), append(w.at, a.String())
}

// said is the beginning of what is said of all of them.
func (w *within) said() (routers string, names cause.List, endpoints string) {
	if names = once(w.names); len(names) == 1 {
		return "router", names, "endpoint " + w.at[0] + " is"
	}
	return "routers", names, "their endpoints are"
}

func (r *router) addresses() []netip.Addr {
	out := slices.Collect(maps.Values(r.callers))
	order.By(out, netip.Addr.Compare)
	return append([]netip.Addr{r.endpoint}, out...)
}

// checkOutside refuses addresses that their callers have a way to through the tunnels
// only: their own packets would be sent through themselves. A cloud's IPv6 addresses are
// all of them in its site's network, so there the callers get a route to it (bird).
func (n *network) checkOutside(p *Problems) {
	for _, s := range n.sites {
		for _, x := range s.networks {
			n.checkBehind(s, x, p)
		}
	}
	for _, pool := range []netip.Prefix{n.pool, n.pool6} {
		var in within
		for _, r := range n.routers {
			for _, a := range r.addresses() {
				if pool.Contains(a) {
					in.add(r, a)
				}
			}
		}
		if len(in.names) > 0 {
			routers, names, endpoints := in.said()
			p.add("%s %s: %s inside the link pool %s: take another link pool", routers, names, endpoints, pool)
		}
	}
}

// checkBehind refuses endpoints in a network of a site.
func (n *network) checkBehind(s *site, x netip.Prefix, p *Problems) {
	var own, other within
	for _, r := range n.routers {
		if !slices.ContainsFunc(r.addresses(), x.Contains) {
			continue
		}
		i := slices.IndexFunc(n.routers, func(caller *router) bool {
			return caller != r && caller.site != s && (s != r.site || x.Addr().Is4()) &&
				x.Contains(n.at(r, caller).Addr())
		})
		switch {
		case i < 0:
		case s == r.site:
			own.add(r, n.at(r, n.routers[i]).Addr())
		default:
			other.add(r, n.at(r, n.routers[i]).Addr())
		}
	}
	if len(own.names) > 0 {
		routers, names, endpoints := own.said()
		p.add("%s %s: %s inside network %s of site %s, behind the tunnels: give one outside, or endpoints.%s",
			routers, names, endpoints, x, s.name, s.name)
	}
	if len(other.names) > 0 {
		routers, names, endpoints := other.said()
		p.add("%s %s: %s inside network %s of site %s, so behind the tunnels: give one outside of all sites' networks",
			routers, names, endpoints, x, s.name)
	}
}

// elsewhere reports whether some router is not of site s.
func (n *network) elsewhere(s *site) bool {
	return slices.ContainsFunc(n.routers, func(r *router) bool { return r.site != nil && r.site != s })
}

// checkPools checks the link pools' families, sizes and neighbours.
func (n *network) checkPools(p *Problems) {
	if n.LinkPrefixLength < 8 || n.LinkPrefixLength > 31 {
		p.add("link_prefix_length: %d: expected 31, or less for larger link networks", n.LinkPrefixLength)
	}
	if n.pool.IsValid() && !n.pool.Addr().Is4() {
		p.add("link_pool: %s is not IPv4: give IPv4 here, and IPv6 in link_pool6", n.pool)
	}
	if n.pool6.IsValid() && n.pool6.Addr().Is4() {
		p.add("link_pool6: %s is not IPv6: give IPv6 here, and IPv4 in link_pool", n.pool6)
	}
	n.checkInUse("link_pool", n.pool, p)
	n.checkInUse("link_pool6", n.pool6, p)
}

// checkInUse refuses a link pool in which sites have networks.
func (n *network) checkInUse(option string, pool netip.Prefix, p *Problems) {
	var networks, sites []string
	for _, s := range n.sites {
		for _, x := range s.networks {
			if pool.IsValid() && pool.Overlaps(x) {
				networks, sites = append(networks, x.String()), append(sites, s.name)
			}
		}
	}
	switch sites = once(sites); {
	case len(networks) == 1:
		p.add("%s: %s overlaps network %s of site %s: take a network that no site uses",
			option, pool, networks[0], sites[0])
	case len(networks) > 1:
		p.add("%s: %s overlaps networks such as %s of sites %s: take a network that no site uses",
			option, pool, networks[0], cause.List(sites))
	}
}

// checkPorts checks the ports of routers that have their own: all of a router's are
// below that of its tunnel with the highest id.
func (n *network) checkPorts(p *Problems) {
	for _, r := range n.routers {
		highest := 0
		for _, other := range n.routers {
			if other.ID != r.ID && other.ID >= 1 && other.ID <= plan.MaxID && r.ID >= 1 && r.ID <= plan.MaxID {
				highest = max(highest, plan.Number(r.ID, other.ID))
			}
		}
		for _, base := range []struct {
			name  string
			value int
		}{{"endpoint_port_base", r.EndpointPortBase}, {"listen_port_base", r.ListenPortBase}} {
			if most := 65535 - highest; base.value < 0 || base.value > most {
				p.add("router %s: %s: %d: expected up to %d, because the highest of its tunnels has number %d", r.name,
					base.name, base.value, most, highest)
			}
		}
	}
}

// checkHighest checks the tunnel with the highest number, which is that of the two highest ids: if
// it fits into the pools, the ports and the interface names, all do.
func (n *network) checkHighest(p *Problems) {
	var a, b *router // a has the highest id
	for _, r := range n.routers {
		if r.ID >= 1 && r.ID <= plan.MaxID && (a == nil || r.ID != a.ID) {
			a, b = r, a
		}
	}
	if b == nil {
		return
	}
	num := plan.Number(a.ID, b.ID)
	if port := n.PortBase + num; n.PortBase >= 0 && n.PortBase <= 65534 && port > 65535 {
		p.add("port_base: %d is too high: tunnel %d between %s and %s would be port %d: take %d or less, or lower ids",
			n.PortBase, num, b.name, a.name, port, 65535-num)
	}
	if name := n.tunnel(num); interfaceName(n.InterfacePrefix) && len(name) > 15 {
		p.add("interface_prefix: %q makes interface %s of %d characters, and Linux allows 15: "+
			"take a shorter prefix, or lower ids", n.InterfacePrefix, name, len(name))
	}
	if n.LinkPrefixLength >= 8 && n.LinkPrefixLength <= 31 && n.pool.IsValid() &&
		n.pool.Addr().Is4() && !holds(n.pool, n.LinkPrefixLength, num) {
		p.add("link_pool: %s is too small: it has no /%d number %d for tunnel %d: "+
			"take a larger pool or a longer link_prefix_length", n.pool, n.LinkPrefixLength, num, num)
	}
	if n.pool6.IsValid() && n.pool6.Addr().Is6() && !holds(n.pool6, 127, num) {
		p.add("link_pool6: %s is too small: it has no /127 number %d for tunnel %d: take a larger pool, such as a /64",
			n.pool6, num, num)
	}
}

// interfaceName reports whether Linux, wg-quick and dotted sysctl keys all take s
// as the name of an interface.
func interfaceName(s string) bool {
	return plan.Name{First: plan.Letters, Rest: plan.Alphanumeric + "_-", Most: 15}.Fits(s)
}
