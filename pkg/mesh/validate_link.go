package mesh

import "net/netip"

// checkEndpoints checks each tunnel's two outside addresses.
func (n *network) checkEndpoints(p *Problems) {
	for i, a := range n.routers {
		n.checkOutside(a, p)
		for _, b := range n.routers[i+1:] {
			if a.ID < 1 || b.ID > maxID || a.ID == b.ID {
				continue // has been reported; there is no tunnel to speak of
			}
			num := Number(a.ID, b.ID)
			switch {
			case a.Endpoint == "" && b.Endpoint == "":
				p.add("routers %s and %s: neither has an endpoint, so no end of tunnel %d can call the other: give one an address to reach it at", a.name, b.name, num)
			case a.endpoint.IsValid() && a.endpoint == b.endpoint:
				// Both ends of one tunnel listen on one port, and all routers
				// are joined, so there is always a port that both would need.
				p.add("routers %s and %s: both have endpoint %s, so both would be its port %d: give each its own, or leave one out", a.name, b.name, a.endpoint, n.PortBase+num)
			}
		}
	}
}

// checkOutside refuses an endpoint that is routed into the tunnels: their own
// packets would be sent through themselves.
func (n *network) checkOutside(r *router, p *Problems) {
	if !r.endpoint.IsValid() {
		return
	}
	for _, s := range n.sites {
		for _, x := range s.networks {
			if x.Contains(r.endpoint) && n.elsewhere(s) {
				p.add("router %s: endpoint %s is inside network %s of site %s, so behind the tunnels: give one outside of all sites' networks",
					r.name, r.endpoint, x, s.name)
			}
		}
	}
	for _, pool := range []netip.Prefix{n.pool, n.pool6} {
		if pool.IsValid() && pool.Contains(r.endpoint) {
			p.add("router %s: endpoint %s is inside the link pool %s: take another link pool", r.name, r.endpoint, pool)
		}
	}
}

// elsewhere says whether some router is not of site s.
func (n *network) elsewhere(s *site) bool {
	for _, r := range n.routers {
		if r.site != nil && r.site != s {
			return true
		}
	}
	return false
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
	for _, s := range n.sites {
		for _, x := range s.networks {
			if n.pool.IsValid() && n.pool.Overlaps(x) {
				p.add("link_pool: %s overlaps network %s of site %s: take a network that no site uses", n.pool, x, s.name)
			}
			if n.pool6.IsValid() && n.pool6.Overlaps(x) {
				p.add("link_pool6: %s overlaps network %s of site %s: take a network that no site uses", n.pool6, x, s.name)
			}
		}
	}
}

// checkHighest checks the tunnel with the highest number, which is that of the
// two highest ids: if it fits into the pools, the ports and the interface
// names, all do.
func (n *network) checkHighest(p *Problems) {
	var a, b *router // a has the highest id
	for _, r := range n.routers {
		if r.ID >= 1 && r.ID <= maxID && (a == nil || r.ID != a.ID) {
			a, b = r, a
		}
	}
	if b == nil {
		return
	}
	num := Number(a.ID, b.ID)
	if port := n.PortBase + num; n.PortBase >= 0 && n.PortBase <= 65534 && port > 65535 {
		p.add("port_base: %d is too high: tunnel %d between %s and %s would be port %d: take %d or less, or lower ids", n.PortBase, num, b.name, a.name, port, 65535-num)
	}
	if name := n.tunnel(num); interfaceName(n.InterfacePrefix) && len(name) > 15 {
		p.add("interface_prefix: %q makes interface %s of %d characters, and Linux allows 15: take a shorter prefix, or lower ids", n.InterfacePrefix, name, len(name))
	}
	if n.LinkPrefixLength >= 8 && n.LinkPrefixLength <= 31 && n.pool.IsValid() && n.pool.Addr().Is4() && !holds(n.pool, n.LinkPrefixLength, num) {
		p.add("link_pool: %s is too small: it has no /%d number %d for tunnel %d: take a larger pool or a longer link_prefix_length", n.pool, n.LinkPrefixLength, num, num)
	}
	if n.pool6.IsValid() && n.pool6.Addr().Is6() && !holds(n.pool6, 127, num) {
		p.add("link_pool6: %s is too small: it has no /127 number %d for tunnel %d: take a larger pool, such as a /64", n.pool6, num, num)
	}
}
