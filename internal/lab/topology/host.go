package topology

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/wgmesh/router/internal/lab/profile"
)

// bearsEndpoint reports whether the endpoint is an address of the host besides that
// in its zone, as IPv6 endpoints are.
func (h Host) bearsEndpoint() bool {
	return h.Endpoint.IsValid() && !h.NAT && h.Address(h.Endpoint.Is6()) != h.Endpoint
}

func (h Host) needsLinkLocal() bool {
	return h.bearsEndpoint() && h.Endpoint.Is6() && !h.Address(true).IsValid()
}

// HostScript addresses a host's own interface, in the host's namespace.
func (t Topology) HostScript(h Host) string {
	var s script
	s.add("link set dev lo up")
	if h.Site == "" {
		return s.String() // an image being made: it has only the management link
	}
	site, _ := t.Site(h.Site)
	own := h.bearsEndpoint()
	for _, c := range t.Cards(h) {
		if h.Profile.Client == "" {
			s.card(c)
		}
	}
	if h.needsLinkLocal() {
		s.add("route add ::/0 via %s dev eth0 src %s", linkLocalGateway.Addr(), h.Endpoint)
	}
	if own {
		// Its own site talks to its private address, so that is where it comes from.
		for _, n := range site.Networks {
			for i, g := range h.Gateways {
				if n.Addr().Is6() == h.Endpoint.Is6() && g.Is6() == n.Addr().Is6() {
					s.add("route add %s via %s dev eth0 onlink src %s metric 2048", n, g, h.Addresses[i].Addr())
				}
			}
		}
	}
	for _, line := range h.Profile.IP { // a client comes later, so they cannot need its routes
		s.add("%s", line)
	}
	return s.String()
}

// card addresses a NIC and gives it its routes.
func (s *script) card(c profile.Card) {
	var metric []string
	if c.Metric > 0 {
		metric = []string{"metric", fmt.Sprint(c.Metric)}
	}
	for _, p := range c.Addresses {
		s.address(c.Name, p, metric...)
	}
	s.add("link set dev %s up", c.Name)
	for i, g := range c.Gateways {
		line := fmt.Sprintf("route add %s via %s dev %s", everything(g), g, c.Name)
		if c.Onlink || !c.Addresses[i].Contains(g) {
			line += " onlink"
		}
		from := line
		if c.Source.IsValid() && g.Is6() == c.Source.Is6() {
			line += " src " + c.Source.String()
		}
		s.add("%s", strings.Join(append([]string{line}, metric...), " "))
		if c.Table > 0 {
			// As cloud-init does for an instance with two NICs.
			own := c.Addresses[i]
			if !own.IsSingleIP() {
				s.add("route add %s dev %s table %d", own.Masked(), c.Name, c.Table)
			}
			s.add("%s table %d", from, c.Table)
			s.add("%srule add pref %d from %s lookup %d", six(own), 10000+c.Table, own.Addr(), c.Table)
		}
	}
}

// mac is the same each time a host is started, as a machine's is: neighbours would
// send to the old one for up to half a minute.
func mac(h Host, card int) string {
	return fmt.Sprintf("02:77:67:%02x:%02x:%02x", card, h.Number>>8, h.Number&0xff)
}

// BridgeScript makes the management network. Its ports are isolated: a host
// reaches the controller and never another host. It has link-local addresses
// only, so that no routing protocol and no network of the inventory meets it.
func (t Topology) BridgeScript() string {
	var s script
	s.add("link set dev lo up")
	s.add("link add dev br0 type bridge mcast_snooping 0")
	s.add("link set dev br0 addrgenmode none")
	s.add("address add dev br0 fe80::ffff:1/64 nodad")
	s.add("link set dev br0 up")
	return s.String()
}

// ManageScript joins a host to the management network, in that namespace.
func (t Topology) ManageScript(h Host) string {
	var s script
	s.add("link add dev m%d type veth peer name mgmt0 address %s netns %s", h.Number, mac(h, 0), t.Namespace(h.Name))
	s.add("link set dev m%d addrgenmode none master br0 up", h.Number)
	s.add("link set dev m%d type bridge_slave isolated on", h.Number)
	return s.String()
}

// ManagedScript is the host's end of ManageScript.
func (t Topology) ManagedScript(h Host) string {
	var s script
	s.add("link set dev mgmt0 addrgenmode none")
	s.add("address add dev mgmt0 %s nodad", h.Management())
	s.add("link set dev mgmt0 up")
	return s.String()
}

// Management is the address by which the lab's ssh reaches the host.
func (h Host) Management() string { return fmt.Sprintf("fe80::%x/64", h.Number) }

// DHCPConfig is dnsmasq's for a site's gateway: each host that asks has one address, by its MAC,
// for an hour. It is empty when no host of the site asks. Where the site's gateway is off-link it
// hands out a /32 and the way to the gateway, as Google's does.
func (t Topology) DHCPConfig(site Site) string {
	var s script
	ranges := map[netip.Prefix]bool{}
	for _, h := range t.Routers(site.Name) {
		if !h.Profile.DHCP {
			continue
		}
		for i, port := range h.Ports() {
			card := t.Cards(h)[i]
			for j, g := range card.Gateways {
				if g.Is6() {
					continue
				}
				subnet := h.Subnets[j]
				if !ranges[subnet] {
					ranges[subnet] = true
					s.add("dhcp-range=%s,static,%s,1h", subnet.Addr(), mask(subnet))
				}
				tag := fmt.Sprintf("n%d-%d", h.Number, i)
				s.add("interface=%s", port)
				s.add("dhcp-host=%s,set:%s,%s,%s", card.MAC, tag, card.Addresses[j].Addr(), h.Hostname())
				s.add("dhcp-option=tag:%s,option:router,%s", tag, g)
				if card.Onlink {
					s.add("dhcp-option=tag:%s,option:netmask,255.255.255.255", tag)
					s.add("dhcp-option=tag:%s,option:classless-static-route,%s/32,0.0.0.0,0.0.0.0/0,%s", tag, g, g)
				}
			}
		}
	}
	if len(ranges) == 0 {
		return ""
	}
	s.add("dhcp-option=option:mtu,%d", site.NIC)
	s.add("port=0\nbind-dynamic\nno-ping\nleasefile-ro\ndhcp-authoritative\n" +
		"pid-file=\nuser=root\ngroup=root\nlog-facility=-")
	return s.String()
}

func mask(p netip.Prefix) netip.Addr {
	m := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)})
}
