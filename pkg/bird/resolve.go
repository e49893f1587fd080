package bird

import (
	"fmt"
	"net/netip"
	"slices"
)

// An Interface is a network interface of the host with its addresses in the
// kernel's order.
type Interface struct {
	Name      string
	Addresses []netip.Addr
}

// A Network is what Resolve needs to know of the host.
type Network struct {
	Interfaces []Interface
	Default4   string // interface of the IPv4 default route, or empty
	Default6   string // the same for IPv6
}

// Sources are the addresses that the router's own packets carry. The zero
// address is none.
type Sources struct{ IPv4, IPv6 netip.Addr }

// Resolve fills in what only the host knows: the interface of a route that is
// onlink, and the host's own addresses inside c.Networks. The first address
// of each family is the source of the router's own packets.
func Resolve(c Config, host Network) (Config, Sources, []netip.Addr, error) {
	own, name := ownAddresses(c, host)
	var src Sources
	for _, a := range own {
		switch {
		case a.Is4() && !src.IPv4.IsValid():
			src.IPv4 = a
		case a.Is6() && !src.IPv6.IsValid():
			src.IPv6 = a
		}
	}
	c.Static = slices.Clone(c.Static)
	for i, s := range c.Static {
		if !s.OnLink || s.Interface != "" {
			continue
		}
		fallback, is4 := host.Default6, s.Network.Addr().Is4()
		if is4 {
			fallback = host.Default4
		}
		if c.Static[i].Interface = name[is4]; c.Static[i].Interface == "" {
			c.Static[i].Interface = fallback
		}
		if c.Static[i].Interface == "" {
			return c, src, own, fmt.Errorf("static[%d] (%s): onlink needs an interface, and this host has neither an address inside networks nor a default route; set interface", i, s.Network)
		}
	}
	return c, src, own, nil
}

// ownAddresses lists the host's addresses inside c.Networks, and per family
// (true is IPv4) the interface that holds the first one. Tunnels do not count.
func ownAddresses(c Config, host Network) (own []netip.Addr, name map[bool]string) {
	name = map[bool]string{}
	for _, iface := range host.Interfaces {
		if slices.ContainsFunc(c.Neighbors, func(n Neighbor) bool { return n.Interface == iface.Name }) {
			continue
		}
		for _, a := range iface.Addresses {
			if !slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Contains(a) }) {
				continue
			}
			own = append(own, a)
			if name[a.Is4()] == "" {
				name[a.Is4()] = iface.Name
			}
		}
	}
	return own, name
}
