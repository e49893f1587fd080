package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/internal/lab/profile"
)

// script collects lines for `ip -batch -`. A line that begins with "-6 " is for
// `ip -6 -batch -`: routing rules do not tell their family by their addresses.
type script struct{ strings.Builder }

func (s *script) add(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

func six(p netip.Prefix) string {
	if p.Addr().Is6() {
		return "-6 "
	}
	return ""
}

func everything(a netip.Addr) string {
	if a.Is6() {
		return "::/0"
	}
	return "0.0.0.0/0"
}

// address adds an address to an interface; IPv6 without waiting for duplicates. More
// words may follow.
func (s *script) address(dev string, p netip.Prefix, more ...string) {
	line := fmt.Sprintf("address add dev %s %s", dev, p)
	if p.Addr().Is6() {
		line += " nodad"
	}
	s.add("%s", strings.Join(append([]string{line}, more...), " "))
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Namespaces lists the namespaces of the network itself, without the hosts'.
func (t Topology) Namespaces() []string {
	out := []string{t.Internet(), t.Management()}
	for _, s := range t.Sites {
		out = append(out, t.Gateway(s.Name))
	}
	return out
}

// InternetScript joins the sites in the internet's namespace. A site's link has
// the MTU of its cloud, so that a larger packet is broken up or dies there.
func (t Topology) InternetScript() string {
	var s script
	s.add("link set dev lo up")
	for _, site := range t.Sites {
		port := fmt.Sprintf("s%d", site.Number)
		s.add("link add dev %s mtu %d type veth peer name wan mtu %d netns %s", port, site.MTU,
			site.MTU, t.Gateway(site.Name))
		for i, p := range site.Provider {
			s.address(port, netip.PrefixFrom(p, site.Wan[i].Bits()))
		}
		s.add("link set dev %s up", port)
	}
	return s.String()
}

// EndpointScript routes every endpoint to its site, in the internet's namespace,
// once both ends of the links are up.
func (t Topology) EndpointScript() string {
	var s script
	seen := map[netip.Addr]bool{}
	for _, h := range t.Routers("") {
		if !h.Endpoint.IsValid() || seen[h.Endpoint] {
			continue
		}
		seen[h.Endpoint] = true
		site, _ := t.Site(h.Site)
		for _, w := range site.Wan {
			if w.Addr().Is6() == h.Endpoint.Is6() {
				s.add("route add %s via %s dev s%d", host(h.Endpoint), w.Addr(), site.Number)
			}
		}
	}
	return s.String()
}

// GatewayScript makes a site's gateway: the cloud's own router. What is sent to
// another site and reaches no router is refused here, and never sent out.
func (t Topology) GatewayScript(site Site) string {
	var s script
	s.add("link set dev lo up")
	for _, w := range site.Wan {
		s.address("wan", w)
	}
	s.add("link set dev wan up")
	for _, p := range site.Provider {
		s.add("route add %s via %s dev wan", everything(p), p)
	}
	for _, other := range t.Sites {
		for _, n := range other.Networks {
			s.add("route add unreachable %s", n)
		}
	}
	// An endpoint inside a site's network is a public address all the same.
	for _, r := range t.Routers("") {
		for _, p := range site.Provider {
			if r.Site != site.Name && r.Endpoint.IsValid() && !r.NAT && r.Endpoint.Is6() == p.Is6() {
				s.add("route add %s via %s dev wan", host(r.Endpoint), p)
			}
		}
	}
	// A router's own packets follow the main table only, so that what it cannot
	// route itself does not come back to it.
	for _, r := range t.Routers(site.Name) {
		for _, port := range r.Ports() {
			s.add("rule add pref 100 iif %s lookup main", port)
			s.add("-6 rule add pref 100 iif %s lookup main", port)
		}
	}
	for i, z := range site.Zones {
		for _, n := range z.Subnets {
			s.add("%srule add pref 200 from %s lookup %d", six(n), n, zoneTable(i))
		}
	}
	if t.isLAN(site.Name) {
		// An Ethernet of its own: this namespace has its cables and is not on it.
		s.add("link add dev lan type bridge mcast_snooping 0")
		s.add("link set dev lan addrgenmode none arp off up")
	}
	for _, n := range site.Networks {
		s.add("%srule add pref 300 from %s lookup %d", six(n), n, siteTable)
	}
	return s.String()
}

// siteTable routes what no zone's table routes.
const siteTable = 99

func zoneTable(i int) int { return 100 + i }

// ConnectScript hangs a host on its site's gateway, in the gateway's namespace,
// by a link of its own: like a VPC, which is not Ethernet.
//
// The routes of a router vanish with its link, and those through the site's other
// routers, of a higher metric, take over at once. They play the part of Azure's
// load balancer and of AWS's route tables, which need seconds for that.
func (t Topology) ConnectScript(h Host) string {
	var s script
	site, _ := t.Site(h.Site)
	s.add("link add dev %s mtu %d type veth peer name eth0 address %s mtu %d netns %s", h.Port,
		site.NIC, mac(h, 1), site.NIC, t.Namespace(h.Name))
	if t.isLAN(site.Name) {
		t.connectLAN(&s, site, h)
		return s.String()
	}
	for i, g := range h.Gateways {
		s.gateway(h, h.Port, g, h.Subnets[i])
	}
	s.add("link set dev %s up", h.Port)
	for _, p := range h.Addresses {
		s.add("route add %s dev %s", host(p.Addr()), h.Port)
	}
	if h.bearsEndpoint() {
		s.add("route add %s dev %s", host(h.Endpoint), h.Port)
		if h.needsLinkLocal() {
			s.address(h.Port, linkLocalGateway)
		}
	}
	for _, other := range t.Hosts {
		if a := other.Address(true); a.IsValid() && other.Site == h.Site && other.Name != h.Name {
			s.add("-6 neighbour add proxy %s dev %s", a, h.Port)
		}
	}
	if h.Kind == Router {
		t.routesThrough(&s, site, h)
	}
	if len(h.Second) > 0 {
		port := h.secondPort()
		s.add("link add dev %s mtu %d type veth peer name eth1 address %s mtu %d netns %s", port,
			site.NIC, mac(h, 2), site.NIC, t.Namespace(h.Name))
		for i, g := range h.Gateways {
			s.gateway(h, port, g, h.Subnets[i])
		}
		s.add("link set dev %s up", port)
		for _, p := range h.Second {
			s.add("route add %s dev %s", host(p.Addr()), port)
		}
	}
	return s.String()
}

// connectLAN hangs a host on the Ethernet of a site whose gateway is its router, or
// that router on it and, by its uplink, on the provider's box.
func (t Topology) connectLAN(s *script, site Site, h Host) {
	port := h.Port
	if h.Profile.LANGateway {
		s.address(h.Port, netip.PrefixFrom(h.Uplink.Addr().Prev(), h.Uplink.Bits()))
		s.add("link set dev %s up", h.Port)
		port = h.secondPort()
		s.add("link add dev %s mtu %d type veth peer name eth1 address %s mtu %d netns %s", port,
			site.NIC, mac(h, 2), site.NIC, t.Namespace(h.Name))
	}
	s.add("link set dev %s addrgenmode none master lan up", port)
}

// gateway gives a port the gateway's address. A DHCP server finds by its length what
// it may hand out there.
func (s *script) gateway(h Host, port string, g netip.Addr, subnet netip.Prefix) {
	if h.Profile.DHCP && g.Is4() {
		s.address(port, netip.PrefixFrom(g, subnet.Bits()), "noprefixroute")
		return
	}
	s.address(port, host(g))
}

// secondPort is the second NIC's interface at the site's gateway.
func (h Host) secondPort() string { return fmt.Sprintf("%d.eth1", h.Number) }

// Ports lists the host's interfaces at its site's gateway.
func (h Host) Ports() []string {
	if len(h.Second) > 0 || h.Profile.LANGateway {
		return []string{h.Port, h.secondPort()}
	}
	return []string{h.Port}
}

// Cards lists the host's NICs as its profile wants them.
func (t Topology) Cards(h Host) []profile.Card {
	site, _ := t.Site(h.Site)
	if h.Profile.LANGateway {
		return []profile.Card{
			{
				Name: "eth0", MAC: mac(h, 1), Addresses: []netip.Prefix{h.Uplink},
				Gateways: []netip.Addr{h.Uplink.Addr().Prev()}, Metric: h.Profile.Metric,
			},
			{Name: "eth1", MAC: mac(h, 2), Addresses: h.Addresses, Metric: h.Profile.Metric},
		}
	}
	var out []profile.Card
	for i, addresses := range [][]netip.Prefix{h.Addresses, h.Second} {
		if i > 0 && len(addresses) == 0 {
			continue
		}
		c := profile.Card{
			Name: fmt.Sprintf("eth%d", i), MAC: mac(h, i+1), Addresses: addresses,
			Gateways: h.Gateways, Onlink: site.Onlink,
		}
		if h.Profile.Metric > 0 {
			c.Metric = h.Profile.Metric + 100*i
		} else if i > 0 {
			c.Metric = 100
		}
		if h.Profile.PolicyRules {
			c.Table = 101 + i
		}
		if i == 0 && h.bearsEndpoint() {
			c.Addresses = append(slices.Clone(addresses), host(h.Endpoint))
			c.Source = h.Endpoint
		}
		out = append(out, c)
	}
	return out
}

// routesThrough sends the other sites' networks to the router: first choice for
// its own zone, in order of the ids for the rest.
func (t Topology) routesThrough(s *script, site Site, h Host) {
	place := 0
	for i, r := range t.Routers(site.Name) {
		if r.Name == h.Name {
			place = i
		}
	}
	for _, other := range t.Sites {
		if other.Name == site.Name {
			continue
		}
		for _, n := range other.Networks {
			via := h.Address(n.Addr().Is6())
			if !via.IsValid() {
				continue
			}
			route := func(table, metric int) {
				s.add("route add %s via %s dev %s onlink table %d metric %d", n, via, h.Port, table, metric)
			}
			route(siteTable, 100+place)
			for i, z := range site.Zones {
				metric := 100 + place
				if z.Name == h.Zone {
					metric = 10 + place
				}
				route(zoneTable(i), metric)
			}
		}
	}
}

// linkLocalGateway is the gateway of a router whose endpoint is the only IPv6 address at its site.
var linkLocalGateway = netip.MustParsePrefix("fe80::1/64")

// first is where the hosts of a kind begin in a subnet: 10.1.1.10 and 2001:db8::10 are the first
// router of a zone, 10.1.1.100 and 2001:db8::100 the first node.
func first(kind string, v6 bool) int {
	switch {
	case kind == Router && v6:
		return 0x10
	case kind == Router:
		return 10
	case v6:
		return 0x100
	}
	return 100
}

// allocator hands out the addresses of the zones, each once.
type allocator struct{ taken map[netip.Addr]string }

func newAllocator() allocator { return allocator{taken: map[netip.Addr]string{}} }

// next is the first free host address of the subnet at or after the wanted place,
// or from its beginning when the subnet is too small for that.
func (a allocator) next(subnet netip.Prefix, from int, owner string) (netip.Addr, error) {
	for _, start := range []int{from, 1} {
		addr := subnet.Addr()
		for range start {
			addr = addr.Next()
		}
		for n := 0; n < 1<<16 && subnet.Contains(addr); n++ {
			_, used := a.taken[addr]
			if !used && !broadcast(subnet, addr) {
				a.taken[addr] = owner
				return addr, nil
			}
			addr = addr.Next()
		}
	}
	return netip.Addr{}, fmt.Errorf("%s: subnet %s has no free address", owner, subnet)
}

func broadcast(subnet netip.Prefix, addr netip.Addr) bool {
	return addr.Is4() && subnet.Bits() < 31 && !subnet.Contains(addr.Next())
}
