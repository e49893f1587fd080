package mesh

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// checkSites checks each site by itself.
func (n *network) checkSites(p *Problems) {
	owner := map[int64][]string{}
	for _, s := range n.sites {
		if !plainName(s.name) {
			p.add("site %q: the name is not plain: use letters, digits, '.', '-' and '_', %d at most", s.name, longestName)
		}
		if why := checkAS(s.AS); why != "" {
			p.add("site %s: as %s: use one of 64513 to 65534 or 4200000000 to 4294967294", s.name, why)
		} else {
			owner[s.AS] = append(owner[s.AS], s.name)
		}
		if _, known := underlays(s.Cloud); !known {
			p.add("site %s: cloud is %q: expected azure, aws, gcp or other", s.name, s.Cloud)
		}
		if len(s.Networks) == 0 {
			p.add("site %s: networks is missing: list the prefixes that the site owns", s.name)
		}
		n.checkMTU(s, p)
		checkRepeats("site "+s.name, s.networks, p)
		checkZones(s, p)
	}
	for as, names := range owner {
		if len(names) > 1 {
			p.add("sites %s: all have as %d: give each site its own, or the one refuses the routes of the other", strings.Join(names, ", "), as)
		}
	}
}

// checkAS says what is wrong with an AS number, or returns "". Only those that
// RFC 6996 leaves to private use can be ours, and not all of them are free.
func checkAS(as int64) string {
	switch {
	case as == 0:
		return "is missing"
	case as < 0 || as > 4294967295:
		return fmt.Sprintf("%d is no AS number", as)
	case as == 64512:
		return "64512 is what AWS gateways take when nothing is said, and would clash with them"
	case as == 65515:
		return "65515 is Azure's own, of its VPN gateways and route servers"
	case as >= 64512 && as <= 65534, as >= 4200000000 && as <= 4294967294:
		return ""
	case as == 23456, as == 65535, as == 4294967295:
		return fmt.Sprintf("%d is reserved and cannot be used by anybody", as)
	default:
		return fmt.Sprintf("%d is not private (RFC 6996), so it belongs or may be given to somebody else", as)
	}
}

// minMTU is that of IPv6 (RFC 8200), and what any IPv4 path has nowadays.
const minMTU = 1280

// checkMTU checks the MTU outside the tunnels. With IPv6 inside them it has to
// leave room for IPv6's minimum.
func (n *network) checkMTU(s *site, p *Problems) {
	least, why := minMTU, ""
	if n.dual {
		overhead := overhead4
		if slices.ContainsFunc(n.routers, func(r *router) bool { return r.endpoint.Is6() }) {
			overhead = overhead6
		}
		least, why = minMTU+overhead, ", because the tunnels carry IPv6"
	}
	if s.MTU != 0 && (s.MTU < least || s.MTU > 65535) {
		p.add("site %s: mtu is %d: expected %d to 65535 bytes outside the tunnels%s", s.name, s.MTU, least, why)
	}
}

// checkRepeats finds networks that are listed twice.
func checkRepeats(at string, networks []netip.Prefix, p *Problems) {
	for i, x := range networks {
		if slices.Contains(networks[:i], x) {
			p.add("%s: network %s is listed twice: keep one", at, x)
		}
	}
}

// checkZones checks that a site's zones divide its networks.
func checkZones(s *site, p *Problems) {
	type subnet struct {
		netip.Prefix
		zone string
	}
	var seen []subnet
	for _, z := range s.zones {
		switch {
		case z.name == "":
			p.add("site %s: one zone has an empty name: give it one", s.name)
		case len(s.Zones[z.name].Networks) == 0:
			p.add("site %s: zone %s has no networks: list its subnets", s.name, z.name)
		}
		for _, x := range z.networks {
			if !slices.ContainsFunc(s.networks, func(of netip.Prefix) bool { return contains(of, x) }) {
				p.add("site %s: zone %s: subnet %s is outside of the site's networks %s: correct it, or add it to the site", s.name, z.name, x, join(s.networks))
			}
			for _, y := range seen {
				if x.Overlaps(y.Prefix) {
					p.add("site %s: subnet %s of zone %s overlaps %s of zone %s: leave each address in one zone", s.name, x, z.name, y.Prefix, y.zone)
				}
			}
			seen = append(seen, subnet{x, z.name})
		}
	}
}

// checkOverlaps finds networks that two sites claim.
func (n *network) checkOverlaps(p *Problems) {
	for i, a := range n.sites {
		for _, b := range n.sites[i+1:] {
			for _, x := range a.networks {
				for _, y := range b.networks {
					if x.Overlaps(y) {
						p.add("sites %s and %s: networks %s and %s overlap: leave each address at one site", a.name, b.name, x, y)
					}
				}
			}
		}
	}
}

// contains says whether x lies within of.
func contains(of, x netip.Prefix) bool {
	return x.Bits() >= of.Bits() && of.Contains(x.Addr())
}

func join(networks []netip.Prefix) string {
	var out []string
	for _, x := range networks {
		out = append(out, x.String())
	}
	return strings.Join(out, ", ")
}
