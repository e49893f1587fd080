package bird

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/wgmesh/router/pkg/rtnl"
)

// ObserveNetwork reads the host's interfaces with their addresses, and those of the default routes.
// Addresses that come and go by themselves, such as IPv6 privacy addresses, are left out.
func ObserveNetwork() (Network, error) {
	var host Network
	links, err := rtnl.Dump(netlink.LinkList)
	if err != nil {
		return host, fmt.Errorf("network interfaces: %w", err)
	}
	addresses, err := rtnl.Addresses(nil)
	if err != nil {
		return host, fmt.Errorf("addresses: %w", err)
	}
	// IFA_F_TEMPORARY, DADFAILED, DEPRECATED, TENTATIVE; on IPv4, 0x01 is SECONDARY
	const passing = 0x01 | 0x08 | 0x20 | 0x40
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		iface := Interface{Name: l.Attrs().Name, Loopback: l.Attrs().Flags&net.FlagLoopback != 0}
		for _, a := range addresses {
			ip, ok := netip.AddrFromSlice(a.IP)
			if ip = ip.Unmap(); !ok || a.LinkIndex != l.Attrs().Index || (ip.Is6() && a.Flags&passing != 0) {
				continue
			}
			iface.Addresses = append(iface.Addresses, ip)
			if s, ok := subnet(a); ok && !iface.Loopback && !slices.Contains(iface.Subnets, s) {
				iface.Subnets = append(iface.Subnets, s)
			}
		}
		host.Interfaces = append(host.Interfaces, iface)
	}
	for family, is := range map[int]struct {
		name    *string
		gateway *netip.Addr
	}{netlink.FAMILY_V4: {&host.Default4, &host.Gateway4}, netlink.FAMILY_V6: {&host.Default6, &host.Gateway6}} {
		routes, err := rtnl.Dump(func() ([]netlink.Route, error) { return netlink.RouteList(nil, family) })
		if err != nil {
			return host, fmt.Errorf("routes: %w", err)
		}
		best := -1
		for _, r := range routes {
			if n, ok := rtnl.Prefix(r.Dst); ok && n.Bits() != 0 {
				host.Routes = append(host.Routes, n)
				continue
			}
			index, via := r.LinkIndex, r.Gw
			if len(r.MultiPath) > 0 {
				index, via = r.MultiPath[0].LinkIndex, r.MultiPath[0].Gw
			}
			if n := names[index]; n != "" && (best < 0 || r.Priority < best) {
				gateway, _ := netip.AddrFromSlice(via)
				*is.name, *is.gateway, best = n, gateway.Unmap(), r.Priority
			}
		}
	}
	return host, nil
}

// subnet is what an address connects its host to: with a peer's address, the peer's.
// Addresses of a whole length, as on GCP, and link-local ones connect to none.
func subnet(a netlink.Addr) (netip.Prefix, bool) {
	n := a.IPNet
	if a.Peer != nil {
		n = a.Peer
	}
	s, ok := rtnl.Prefix(n)
	return s.Masked(), ok && !s.IsSingleIP() && !s.Addr().IsLinkLocalUnicast()
}
