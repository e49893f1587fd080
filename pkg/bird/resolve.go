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
	Subnets   []netip.Prefix // that the addresses connect the host to
	Loopback  bool
}

// A Network is what Resolve needs to know of the host.
type Network struct {
	Interfaces []Interface
	Default4   string // interface of the IPv4 default route, or empty
	Default6   string // the same for IPv6
	Gateway4   netip.Addr
	Gateway6   netip.Addr // gateways of these routes; the zero address is none
}

// Sources are the addresses that the router's own packets carry. The zero
// address is none.
type Sources struct{ IPv4, IPv6 netip.Addr }

// Resolve fills in what only the host knows: the way of a route that is onlink,
// connected, or by a gateway that nobody gave, what no route may be installed for, and
// the host's own addresses inside c.Networks. The first address of each family is the
// source of the router's own packets.
func Resolve(c Config, host Network) (Config, Sources, []netip.Addr, error) {
	host.Interfaces = slices.DeleteFunc(slices.Clone(host.Interfaces), func(i Interface) bool {
		return slices.ContainsFunc(c.Neighbors, func(n Neighbor) bool { return n.Interface == i.Name })
	})
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
	c.Local = local(c, host)
	c.Static = slices.Clone(c.Static)
	for i := range c.Static {
		if err := c.Static[i].resolve(host, name); err != nil {
			return c, src, own, fmt.Errorf("static[%d] (%s): %w", i, c.Static[i].Network, err)
		}
	}
	return c, src, own, nil
}

// ownAddresses lists the host's addresses inside c.Networks, and per family
// (true is IPv4) the interface that holds the first one.
func ownAddresses(c Config, host Network) (own []netip.Addr, name map[bool]string) {
	name = map[bool]string{}
	for _, iface := range host.Interfaces {
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

// local lists the networks that lie inside a subnet of the host, so that the kernel
// would prefer a route of ours to the subnet's. A network that equals one needs none of
// this: Metric is the worse one. What another site owns may lie inside a subnet of the
// own site: whoever wrote the inventory has cut it out of there.
func local(c Config, host Network) []netip.Prefix {
	var out []netip.Prefix
	foreign := func(s netip.Prefix) bool {
		return !slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Overlaps(s) })
	}
	add := func(networks []netip.Prefix, counts func(subnet netip.Prefix) bool) {
		for _, n := range networks {
			if slices.ContainsFunc(host.Interfaces, func(i Interface) bool {
				return slices.ContainsFunc(i.Subnets, func(s netip.Prefix) bool {
					return s.Bits() < n.Bits() && s.Contains(n.Addr()) && counts(s)
				})
			}) {
				out = append(out, n)
			}
		}
	}
	every := func(netip.Prefix) bool { return true }
	for _, s := range c.Static {
		add([]netip.Prefix{s.Network}, every)
	}
	for _, o := range c.Owners {
		if o.AS == c.AS {
			add(o.Networks, every)
		} else {
			add(o.Networks, foreign)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// resolve finds the way of a route. name has the interface of the host's first address
// in the site, by family.
func (s *Static) resolve(host Network, name map[bool]string) error {
	if !s.OnLink || s.Interface != "" {
		return nil
	}
	is4 := s.Network.Addr().Is4()
	fallback := host.Default6
	if is4 {
		fallback = host.Default4
	}
	if s.Interface = name[is4]; s.Interface == "" {
		s.Interface = fallback
	}
	if s.Interface == "" {
		return fmt.Errorf("onlink needs an interface, and this host has neither an address inside networks nor a default route; set interface")
	}
	return nil
}
