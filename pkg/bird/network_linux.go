package bird

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// ObserveNetwork reads the host's interfaces with their addresses, and those
// of the default routes. Addresses that come and go by themselves, such as
// IPv6 privacy addresses, are left out.
func ObserveNetwork() (Network, error) {
	var host Network
	links, err := dump(netlink.LinkList)
	if err != nil {
		return host, fmt.Errorf("network interfaces: %w", err)
	}
	addresses, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return host, fmt.Errorf("addresses: %w", err)
	}
	const passing = 0x01 | 0x08 | 0x20 | 0x40 // IFA_F_TEMPORARY, DADFAILED, DEPRECATED, TENTATIVE; on IPv4, 0x01 is SECONDARY
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		iface := Interface{Name: l.Attrs().Name}
		for _, a := range addresses {
			ip, ok := netip.AddrFromSlice(a.IP)
			if ip = ip.Unmap(); !ok || a.LinkIndex != l.Attrs().Index || (ip.Is6() && a.Flags&passing != 0) {
				continue
			}
			iface.Addresses = append(iface.Addresses, ip)
		}
		host.Interfaces = append(host.Interfaces, iface)
	}
	for family, name := range map[int]*string{netlink.FAMILY_V4: &host.Default4, netlink.FAMILY_V6: &host.Default6} {
		routes, err := dump(func() ([]netlink.Route, error) { return netlink.RouteList(nil, family) })
		if err != nil {
			return host, fmt.Errorf("routes: %w", err)
		}
		best := -1
		for _, r := range routes {
			if ones, bits := maskSize(r); bits != 0 && ones != 0 {
				continue
			}
			if n := names[r.LinkIndex]; n != "" && (best < 0 || r.Priority < best) {
				*name, best = n, r.Priority
			}
		}
	}
	return host, nil
}

func maskSize(r netlink.Route) (ones, bits int) {
	if r.Dst == nil {
		return 0, 0
	}
	return r.Dst.Mask.Size()
}

// dump repeats a listing that the kernel says was torn by a change.
func dump[T any](list func() ([]T, error)) (out []T, err error) {
	for range 5 {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, err
}
