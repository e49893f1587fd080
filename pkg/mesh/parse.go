package mesh

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/order"

	"github.com/wgmesh/router/pkg/plan"
)

// network is a Mesh with its addresses parsed. Parts that are wrong are left
// out, so that one mistake is one problem.
type network struct {
	Mesh
	routers     []*router // present ones, by id
	sites       []*site   // by name
	pool, pool6 netip.Prefix
	warned      Problems // what works, and is seldom meant
	dual        bool     // some site has IPv6 networks
}

type router struct {
	Router
	name     string
	protocol string // its name in BIRD
	site     *site  // nil when it is unknown
	endpoint netip.Addr
	callers  map[string]netip.Addr // Endpoints, by the site
	gateways []gateway
	probe    []netip.Addr              // its own and its site's, sorted
	links    map[string][]netip.Prefix // Links' addresses, by the peer
}

type site struct {
	Site
	name     string
	networks []netip.Prefix // in the inventory's order
	zones    []*zone        // by name
	gateways []gateway
	probe    []netip.Addr
}

type zone struct {
	name     string
	networks []netip.Prefix
	gateways []gateway
}

// parse reads all of m and notes what cannot be read.
func parse(m Mesh, p *Problems) *network {
	n := &network{Mesh: m}
	for _, name := range slices.Sorted(maps.Keys(m.Sites)) {
		s := parseSite(name, m.Sites[name], p)
		n.sites = append(n.sites, s)
		n.dual = n.dual || slices.ContainsFunc(s.networks, func(x netip.Prefix) bool { return x.Addr().Is6() })
	}
	for _, name := range slices.Sorted(maps.Keys(m.Routers)) {
		r := m.Routers[name]
		switch r.State {
		case "", StatePresent:
			n.routers = append(n.routers, n.parseRouter(name, r, p))
		case StateAbsent:
		default:
			p.add("router %s: state is %q: expected present or absent", name, r.State)
		}
	}
	order.By(n.routers, func(a, b *router) int { return cmp.Compare(a.ID, b.ID) })
	n.pool = parsePrefix("link_pool", m.LinkPool, p)
	if n.dual {
		n.pool6 = parsePrefix("link_pool6", m.LinkPool6, p)
	}
	return n
}

func parseSite(name string, in Site, p *Problems) *site {
	at := "site " + name
	s := &site{Site: in, name: name}
	s.networks = parsePrefixes(at+": networks", in.Networks, p)
	s.gateways = parseGateways(at, in.Gateway, p)
	s.probe = s.parseProbe(at, in.Probe, p)
	for _, zname := range slices.Sorted(maps.Keys(in.Zones)) {
		zat, z := at+": zone "+zname, in.Zones[zname]
		s.zones = append(s.zones, &zone{
			name:     zname,
			networks: parsePrefixes(zat, z.Networks, p),
			gateways: parseGateways(zat, z.Gateway, p),
		})
	}
	return s
}

func (n *network) parseRouter(name string, in Router, p *Problems) *router {
	r := &router{Router: in, name: name, protocol: plan.ProtocolName(name)}
	r.gateways = parseGateways("router "+name, in.Gateway, p)
	if i := slices.IndexFunc(n.sites, func(s *site) bool { return s.name == in.Site }); i >= 0 {
		r.site = n.sites[i]
	}
	if r.site != nil {
		r.probe = append(r.site.parseProbe("router "+name, in.Probe, p), r.site.probe...)
		order.By(r.probe, netip.Addr.Compare)
		r.probe = slices.Compact(r.probe)
	}
	if in.Endpoint != "" {
		r.endpoint = parseEndpoint(name, "endpoint", in.Endpoint, p)
	}
	r.links = parseLinks(name, in.Links, p)
	r.callers = map[string]netip.Addr{}
	for _, caller := range slices.Sorted(maps.Keys(in.Endpoints)) {
		if _, known := n.Sites[caller]; !known {
			p.add("router %s: endpoints: site %q is unknown: expected one of %s", name, caller,
				cause.List(slices.Sorted(maps.Keys(n.Sites))))
		} else if a := parseEndpoint(name, "endpoints."+caller, in.Endpoints[caller], p); a.IsValid() {
			r.callers[caller] = a
		}
	}
	return r
}

// parseEndpoint reads an address at which a router is reached, also in the brackets
// that IPv6 has before a port.
func parseEndpoint(router, at, text string, p *Problems) netip.Addr {
	inner := strings.TrimSpace(text)
	if strings.HasPrefix(inner, "[") && strings.HasSuffix(inner, "]") {
		inner = inner[1 : len(inner)-1]
	}
	a, err := netip.ParseAddr(inner)
	if err != nil {
		p.add("router %s: %s is %q: expected an IP address without a port; "+
			"a host name would be resolved by each router differently", router, at, text)
		return netip.Addr{}
	}
	if why := unusable(a.Unmap()); why != "" {
		p.add("router %s: %s %s is %s: give the address at which the other routers reach it", router, at, a, why)
		return netip.Addr{}
	}
	return a.Unmap()
}

func (s *site) parseProbe(at string, texts []string, p *Problems) (out []netip.Addr) {
	for _, text := range texts {
		a, err := netip.ParseAddr(strings.TrimSpace(text))
		switch {
		case err != nil:
			p.add("%s: probe is %q: expected the IP address of a host that answers ping", at, text)
		case !s.unread() && !s.has(a.Unmap()):
			p.add("%s: probe %s is in no network of site %s: name a host behind its routers", at, a, s.name)
		default:
			out = append(out, a.Unmap())
		}
	}
	return out
}

// unread reports whether a network of the site cannot be read, which is told. What is in none
// of the others may be in that one.
func (s *site) unread() bool { return len(s.networks) < len(s.Networks) }

// zone returns the router's zone, or nil when it has none or an unknown one.
func (r *router) zone() *zone {
	if r.site == nil {
		return nil
	}
	for _, z := range r.site.zones {
		if z.name == r.Zone && z.name != "" {
			return z
		}
	}
	return nil
}

func parsePrefixes(at string, texts []string, p *Problems) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		if x := parsePrefix(at, text, p); x.IsValid() {
			out = append(out, x)
		}
	}
	return out
}

// parsePrefix parses one unicast network. It returns the zero prefix after it has noted a problem.
func parsePrefix(at, text string, p *Problems) netip.Prefix {
	x, err := netip.ParsePrefix(strings.TrimSpace(text))
	switch {
	case err != nil:
		p.add("%s: %q is not a network: write address/length, such as 10.1.0.0/16", at, text)
	case x.Addr().Is4In6():
		p.add("%s: %s is IPv4 in the form of IPv6: write it as IPv4", at, x)
	case x != x.Masked():
		p.add("%s: %s has bits set beyond its length: write %s, or the length that was meant", at, x, x.Masked())
	case x.Bits() == 0:
		p.add("%s: %s is the default route: list the networks themselves", at, x)
	default:
		if special := reserved(x); special != "" {
			p.add("%s: %s overlaps %s: use a network of ordinary addresses", at, x, special)
			return netip.Prefix{}
		}
		return x
	}
	return netip.Prefix{}
}
