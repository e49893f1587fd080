package topology

import (
	"fmt"
	"net/netip"
)

// DHCPConfig is dnsmasq's for a site's gateway: each host that asks has one address,
// by its MAC, for an hour. It is empty when no host of the site asks. Where the
// site's gateway is off-link it hands out a /32 and the way to the gateway, as
// Google's does.
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
