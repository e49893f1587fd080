package mesh

import (
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// Validate reports everything that keeps the mesh from working, all at once,
// as Problems. Absent routers are ignored, but their ids stay taken.
func (m Mesh) Validate() error {
	var p Problems
	check(parse(m, &p), &p)
	return p.err()
}

func check(n *network, p *Problems) {
	n.checkSettings(p)
	n.checkSites(p)
	n.checkOverlaps(p)
	n.checkRouters(p)
	n.checkIDs(p)
	n.checkProtocols(p)
	n.checkEndpoints(p)
	n.checkPorts(p)
	n.checkHostKeys(p)
	n.checkRouteTables(p)
	n.checkPools(p)
	n.checkHighest(p)
	n.checkLinks(p)
}

func (n *network) checkSettings(p *Problems) {
	if len(n.Routers) == 0 {
		p.add("routers: none is given: list every router of the mesh, not only those of this run")
	}
	if n.PortBase < 0 || n.PortBase > 65534 {
		p.add("port_base: %d: expected 0 to 65534, such as 51800", n.PortBase)
	}
	if n.PersistentKeepalive < 0 || n.PersistentKeepalive > 65535 {
		p.add("persistent_keepalive: %d: expected 1 to 65535 seconds, or 0 for off", n.PersistentKeepalive)
	}
	if n.BFD != BFDNormal && n.BFD != BFDFast {
		p.add("bfd: %q: expected normal or fast", n.BFD)
	}
	if !path.IsAbs(n.PresharedKeyDirectory) || strings.ContainsFunc(n.PresharedKeyDirectory, func(c rune) bool {
		return c < ' '
	}) {
		p.add("preshared_key_directory: %q: expected an absolute path", n.PresharedKeyDirectory)
	}
	if !interfaceName(n.InterfacePrefix) {
		p.add("interface_prefix: %q: expected a letter, then letters, digits, - or _, "+
			"15 at most together with the tunnel's number", n.InterfacePrefix)
	}
}

func (n *network) checkRouters(p *Problems) {
	for _, name := range slices.Sorted(maps.Keys(n.Routers)) {
		switch {
		case name == "":
			p.add("routers: one has an empty name: give each its name in the inventory")
		case !plan.PlainName.Fits(name):
			p.add("router %q: the name is not plain: use letters, digits, '.', '-' and '_', %d at most", name,
				plan.PlainName.Most)
		}
	}
	n.checkCase(p)
	known := slices.Sorted(maps.Keys(n.Sites))
	for _, r := range n.routers {
		switch {
		case r.ID == 0:
			p.add("router %s: id is missing: give a number from 1 up that no other router has or had", r.name)
		case r.ID < 0 || r.ID > plan.MaxID:
			p.add("router %s: id is %d: expected 1 to %d, because tunnel numbers, so UDP ports, grow with its square",
				r.name, r.ID, plan.MaxID)
		}
		switch {
		case r.Site == "":
			p.add("router %s: site is missing: expected one of %s", r.name, choices(known))
		case r.site == nil:
			p.add("router %s: site %q is unknown: expected one of %s, or add it to sites", r.name,
				r.Site, choices(known))
		case r.Zone != "" && r.zone() == nil:
			zones := slices.Sorted(maps.Keys(r.site.Zones))
			p.add("router %s: site %s has no zone %q: expected one of %s, or add it to the site",
				r.name, r.Site, r.Zone, choices(zones))
		default:
			n.checkGateways(r, p)
		}
	}
}

// checkCase finds names that differ in nothing but case, absent routers included. Ssh
// looks host keys up without it, so where routers know each other by theirs, each would
// be taken for the other.
func (n *network) checkCase(p *Problems) {
	taken := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(n.Routers)) {
		key := strings.ToLower(name)
		taken[key] = append(taken[key], name)
	}
	for _, names := range taken {
		if len(names) < 2 {
			continue
		}
		p := p
		if !slices.ContainsFunc(names, func(name string) bool { return n.Routers[name].HostKey != "" }) {
			p = &n.warned
		}
		p.add("routers %s: the names differ in case only, and are one name to ssh: rename all but one",
			cause.List(names))
	}
}

// checkGateways checks that r has a way to its own site in each family.
func (n *network) checkGateways(r *router, p *Problems) {
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		same := func(x netip.Prefix) bool { return x.Addr().Is4() == family.Is4() }
		i := slices.IndexFunc(r.site.networks, same)
		if i < 0 {
			continue
		}
		if _, ok := gatewayOf(r, family); !ok {
			p.add("router %s: gateway: none can be derived from %s of site %s, which has no first host: "+
				"set gateway of the router, zone or site", r.name, r.site.networks[i], r.site.name)
		}
	}
}

// checkIDs finds ids that more than one router has. An absent router keeps its
// id, so that the numbers of its tunnels are not mistaken for others'.
func (n *network) checkIDs(p *Problems) {
	taken := map[int][]string{}
	for _, name := range slices.Sorted(maps.Keys(n.Routers)) {
		if r := n.Routers[name]; r.ID > 0 {
			if r.State == StateAbsent {
				name += " (absent)"
			}
			taken[r.ID] = append(taken[r.ID], name)
		}
	}
	for id, names := range taken {
		if len(names) > 1 {
			p.add("routers %s: id %d is given to all of them: "+
				"give each its own, and leave that of an absent router alone", cause.List(names), id)
		}
	}
}

// checkProtocols finds routers that BIRD could not tell apart.
func (n *network) checkProtocols(p *Problems) {
	taken := map[string][]string{}
	for _, r := range n.routers {
		taken[r.protocol] = append(taken[r.protocol], r.name)
	}
	for protocol, names := range taken {
		if slices.Sort(names); len(names) > 1 {
			p.add("routers %s: all would be protocol %s in BIRD, which knows no '-' or '.': rename all but one",
				cause.List(names), protocol)
		}
	}
}

// choices lists what could have been meant.
func choices(names []string) string {
	if len(names) == 0 {
		return "(there are none)"
	}
	return strings.Join(names, ", ")
}
