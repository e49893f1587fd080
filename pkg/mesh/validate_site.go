package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

func (n *network) checkSites(p *Problems) {
	owner := map[plan.AS][]string{}
	for _, s := range n.sites {
		if !plan.PlainName.Fits(s.name) {
			p.add("site %q: the name is not plain: use letters, digits, '.', '-' and '_', %d at most", s.name,
				plan.PlainName.Most)
		}
		if why := checkAS(s.AS); why != "" {
			p.add("site %s: as %s: use one of 64513 to 65534 or 4200000000 to 4294967294", s.name, why)
		} else {
			owner[s.AS] = append(owner[s.AS], s.name)
			if why := doubtful(s.AS); why != "" {
				n.warned.add("site %s: as %d %s: use one of 64513 to 65534 or 4200000000 to 4294967294",
					s.name, s.AS, why)
			}
		}
		if mtu, known := Underlay(s.Cloud); !known {
			n.warned.add("site %s: cloud is %q, which is taken as other, with an MTU of %d: set mtu if it is less",
				s.name, s.Cloud, mtu)
		}
		if len(s.Networks) == 0 {
			p.add("site %s: networks is missing, so nothing of it can be reached: "+
				"list its prefixes, at least the subnet of its routers", s.name)
		}
		n.checkMTU(s, p)
		n.checkNetworks(s)
		n.checkZones(s, p)
	}
	for as, names := range owner {
		if len(names) > 1 {
			p.add("sites %s: all have as %d: give each site its own, or the one refuses the routes of the other",
				cause.List(names), as)
		}
	}
}

// checkAS says why BGP cannot work with an AS number, or returns "".
func checkAS(as plan.AS) string {
	switch {
	case as == 0:
		return "is missing"
	case as < 0 || as > 4294967295:
		return fmt.Sprintf("%d is not an AS number", as)
	case as == 23456, as == 65535, as == 4294967295:
		return fmt.Sprintf("%d is reserved and cannot be used by anybody: it means something else in BGP", as)
	}
	return ""
}

// doubtful says why an AS number is seldom the one that is meant, or returns "". Inside
// the mesh any will do; it matters to whoever speaks BGP with a router besides.
func doubtful(as plan.AS) string {
	switch {
	case as == 64512:
		return "is the default of AWS's gateways, and clashes with theirs"
	case as == 65515:
		return "is that of Azure's VPN gateways and route servers, and clashes with theirs"
	case as >= 64512 && as <= 65534, as >= 4200000000 && as <= 4294967294:
		return ""
	case as >= 64496 && as <= 64511, as >= 65536 && as <= 65551:
		return "is for examples (RFC 5398)"
	}
	return "is not private (RFC 6996), so it should be your own"
}

// minMTU is that of IPv6 (RFC 8200), and what any IPv4 path has nowadays.
const minMTU = 1280

// checkMTU checks that the MTU outside leaves enough inside each tunnel of the site. The
// defaults of the clouds do.
func (n *network) checkMTU(s *site, p *Problems) {
	inside, who := 576, "Linux takes"
	if n.dual {
		inside, who = minMTU, "IPv6 needs"
	}
	overhead := overhead4
	var a, b *router
	for _, self := range n.routers {
		for _, peer := range n.routers {
			if self.site == s && n.joined(self, peer) && (a == nil || n.overhead(self, peer) > overhead) {
				a, b, overhead = self, peer, n.overhead(self, peer)
			}
		}
	}
	least := inside + overhead
	switch {
	case s.MTU == 0:
	case a != nil && s.MTU > 0 && s.MTU < least:
		p.add("site %s: mtu %d leaves %d in tunnel %d of %s and %s, where %s %d: set %d or more", s.name, s.MTU,
			s.MTU-overhead, plan.Number(a.ID, b.ID), a.name, b.name, who, inside, least)
	case s.MTU < least || s.MTU > 65535:
		p.add("site %s: mtu is %d: expected %d to 65535 bytes outside the tunnels", s.name, s.MTU, least)
	case s.MTU < minMTU:
		n.warned.add("site %s: mtu is %d, which is little: look whether it is meant; 1280 is what any path has",
			s.name, s.MTU)
	}
}

// checkNetworks finds networks of a site that are listed twice, which counts once, and
// such as are seldom one site's.
func (n *network) checkNetworks(s *site) {
	for i, x := range s.networks {
		if slices.Contains(s.networks[:i], x) {
			n.warned.add("site %s: network %s is listed twice: keep one", s.name, x)
		} else if least := shortest(x.Addr()); x.Bits() < least {
			n.warned.add("site %s: network %s is larger than a /%d, and all of it goes into the tunnels: "+
				"look whether it is meant", s.name, x, least)
		}
	}
}

// checkZones checks that a site's zones are parts of its networks, and whether they divide them.
func (n *network) checkZones(s *site, p *Problems) {
	type subnet struct {
		netip.Prefix
		zone string
	}
	var seen []subnet
	shared, nested := map[netip.Prefix][]string{}, ties{}
	for _, z := range s.zones {
		switch {
		case z.name == "":
			p.add("site %s: one zone has an empty name: give it one", s.name)
		case len(s.Zones[z.name].Networks) == 0:
			n.warned.add("site %s: zone %s has no networks, so no traffic is drawn to its routers: list its subnets",
				s.name, z.name)
		}
		for _, x := range z.networks {
			if !s.unread() && !slices.ContainsFunc(s.networks, func(of netip.Prefix) bool { return contains(of, x) }) {
				p.add("site %s: zone %s: subnet %s is outside of the site's networks %s: "+
					"correct it, or add it to the site", s.name, z.name, x, join(s.networks))
			}
			for _, y := range seen {
				switch {
				case x == y.Prefix && z.name == y.zone:
					n.warned.add("site %s: zone %s: subnet %s is listed twice: keep one", s.name, z.name, x)
				case x == y.Prefix:
					shared[x] = append(shared[x], y.zone, z.name)
				case x.Overlaps(y.Prefix):
					nested.add(y.zone, z.name, x.String())
					nested.add(y.zone, z.name, y.String())
				}
			}
			seen = append(seen, subnet{x, z.name})
		}
	}
	for x, zones := range shared {
		n.warned.add("site %s: subnet %s is in the zones %s, so the routers of all draw its traffic: leave it to one",
			s.name, x, cause.List(once(zones)))
	}
	for _, x := range nested.all() {
		n.warned.add("site %s: subnets of zones %s overlap (%s), the smallest one counts: "+
			"leave each address in one zone", s.name, cause.List(x.names), cause.List(x.what))
	}
}

// checkOverlaps finds networks that two sites claim.
func (n *network) checkOverlaps(p *Problems) {
	claimed := ties{}
	for i, a := range n.sites {
		for _, b := range n.sites[i+1:] {
			for _, x := range a.networks {
				for _, y := range b.networks {
					if x.Overlaps(y) {
						claimed.add(a.name, b.name, x.String())
						claimed.add(a.name, b.name, y.String())
					}
				}
			}
		}
	}
	for _, x := range claimed.all() {
		p.add("sites %s: networks overlap (%s): leave each address at one site",
			cause.List(x.names), cause.List(x.what))
	}
}

func contains(of, x netip.Prefix) bool { return x.Bits() >= of.Bits() && of.Contains(x.Addr()) }

func join(networks []netip.Prefix) string {
	var out []string
	for _, x := range networks {
		out = append(out, x.String())
	}
	return strings.Join(out, ", ")
}
