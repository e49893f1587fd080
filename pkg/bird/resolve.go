package bird

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// An Interface is a network interface of the host with its addresses in the kernel's order.
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
	Gateway6   netip.Addr     // gateways of these routes; the zero address is none
	Routes     []netip.Prefix // all others that the main table has
}

// Sources are the addresses that the router's own packets carry. The zero address is none.
type Sources struct{ IPv4, IPv6 netip.Addr }

// Resolve fills in what only the host knows: the way of a route that is onlink,
// connected, or by a gateway that nobody gave, what no route may be installed for, and
// the host's own addresses inside c.Networks, those on loopback last. The first address
// of each family is the source of the router's own packets.
func Resolve(c Config, host Network) (Config, Sources, []netip.Addr, error) {
	host.Interfaces = slices.DeleteFunc(slices.Clone(host.Interfaces), func(i Interface) bool {
		return slices.ContainsFunc(c.Neighbors, func(n plan.Neighbor) bool { return n.Interface == i.Name })
	})
	// No network is behind loopback, and what is on it others may have too: a floating IP,
	// keepalived's, an anycast one.
	links := host.Interfaces
	sort.SliceStable(links, func(i, j int) bool { return !links[i].Loopback && links[j].Loopback })
	inside := func(a netip.Addr) bool {
		return slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Contains(a) })
	}
	var own []netip.Addr
	for _, i := range host.Interfaces {
		own = append(own, slices.DeleteFunc(slices.Clone(i.Addresses), func(a netip.Addr) bool {
			return !inside(a)
		})...)
	}
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
	c.Static = slices.DeleteFunc(slices.Clone(c.Static), func(s plan.Static) bool { return needless(c, s, host) })
	for i := range c.Static {
		if err := resolve(&c.Static[i], host, inside); err != nil {
			return c, src, own, fmt.Errorf("static[%d] (%s): %w", i, c.Static[i].Network, err)
		}
	}
	return c, src, own, nil
}

// needless reports whether a route to an end of a tunnel outside of all sites' networks can be left
// out: the host lacks the route's source, or has a route there that is not its default route.
func needless(c Config, s plan.Static, host Network) bool {
	has := func(n netip.Prefix) bool { return n.Contains(s.Network.Addr()) }
	return s.Outside && s.Source.IsValid() &&
		!slices.ContainsFunc(c.Owners, func(o plan.Owner) bool { return slices.ContainsFunc(o.Networks, has) }) &&
		(!host.holds(s.Source) || slices.ContainsFunc(host.Routes, has))
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
		if !s.Outside {
			add([]netip.Prefix{s.Network}, every)
		}
	}
	for _, o := range c.Owners {
		if o.AS == c.AS {
			add(o.Networks, every)
		} else {
			add(o.Networks, foreign)
		}
	}
	order.By(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// resolve finds the way of a route. inside reports whether an address is of the site.
func resolve(s *plan.Static, host Network, inside func(netip.Addr) bool) error {
	is4 := s.Network.Addr().Is4()
	site := host.holder(func(a netip.Addr) bool { return a.Is4() == is4 && inside(a) })
	if site != nil && site.Loopback {
		site = nil
	}
	way := defaultRoute{host.Default6, host.Gateway6}
	if is4 {
		way = defaultRoute{host.Default4, host.Gateway4}
	}
	if s.Outside {
		if !host.holds(s.Source) { // the kernel would refuse the route
			s.Source = netip.Addr{}
		}
		// BIRD follows the default route, but takes none of the kernel's by a gateway that is in no subnet.
		if way.gateway.IsValid() && !way.gateway.IsLinkLocalUnicast() && !host.reaches(way.gateway) {
			s.Via, s.Interface, s.OnLink = way.gateway, way.iface, true
		}
		return nil
	}
	if self := host.holder(func(a netip.Addr) bool {
		return a == s.Via
	}); self != nil && (s.Interface == "" || s.Interface == self.Name) {
		if self.Loopback {
			return fmt.Errorf("via %s is this host's own, on %s: give the gateway, or connected (gateway: none)",
				s.Via, self.Name)
		}
		s.Connected, s.Via, s.OnLink, site = true, netip.Addr{}, false, self
	}
	if s.Connected {
		return connect(s, host, site)
	}
	if s.Derived && !host.reaches(s.Via) && (!s.OnLink || !is4) && way.gateway.IsValid() &&
		host.named(way.iface).has(is4, inside) {
		s.Via, s.Interface = way.gateway, way.iface
		s.OnLink = !way.gateway.IsLinkLocalUnicast() && !host.reaches(way.gateway)
	}
	if !s.OnLink || s.Interface != "" {
		return nil
	}
	if s.Interface = way.iface; site != nil {
		s.Interface = site.Name
	}
	if s.Interface == "" {
		return errors.New("onlink needs an interface, " +
			"and this host has neither an address inside networks nor a default route; set interface")
	}
	return nil
}

// connect finds the interface of a network that the host is the gateway of: that of an
// address in it, site's before others, or else site.
func connect(s *plan.Static, host Network, site *Interface) error {
	if s.Interface != "" {
		return nil
	}
	in := host.holder(func(a netip.Addr) bool { return s.Network.Contains(a) })
	if in == nil || in.Loopback || site != nil && site.has(s.Network.Addr().Is4(), s.Network.Contains) {
		in = site
	}
	if in == nil {
		return errors.New("without a gateway it has to be on an interface of this host, " +
			"and none has an address in networks: give the gateway, or interface")
	}
	s.Interface = in.Name
	return nil
}

type defaultRoute struct {
	iface   string
	gateway netip.Addr
}

// holder finds the first interface with such an address, or none.
func (n Network) holder(is func(netip.Addr) bool) *Interface {
	for _, i := range n.Interfaces {
		if slices.ContainsFunc(i.Addresses, is) {
			return &i
		}
	}
	return nil
}

func (n Network) holds(address netip.Addr) bool {
	return n.holder(func(a netip.Addr) bool { return a == address }) != nil
}

func (n Network) named(name string) Interface {
	for _, i := range n.Interfaces {
		if i.Name == name {
			return i
		}
	}
	return Interface{}
}

func (n Network) reaches(gateway netip.Addr) bool {
	return slices.ContainsFunc(n.Interfaces, func(i Interface) bool {
		return slices.ContainsFunc(i.Subnets, func(s netip.Prefix) bool { return s.Contains(gateway) })
	})
}

func (i Interface) has(is4 bool, inside func(netip.Addr) bool) bool {
	return slices.ContainsFunc(i.Addresses, func(a netip.Addr) bool { return a.Is4() == is4 && inside(a) })
}
