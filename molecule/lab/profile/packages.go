package profile

import "slices"

// Installed lists the packages of Debian's that the host has besides those of the
// router image. A bare host has not even these.
func (p Profile) Installed(bare bool) []string {
	out := slices.Clone(p.Packages)
	add := func(is bool, names ...string) {
		if is {
			out = append(out, names...)
		}
	}
	add(bare && p.Forward != "" || bare && p.NFTables, "nftables")
	add(bare && len(p.WireGuard) > 0, "wireguard-tools", "wireguard-go")
	add(bare && p.BGP == "bird", "bird2")
	switch p.Client {
	case "netplan":
		out = append(out, "netplan.io")
	case "networkmanager":
		out = append(out, "network-manager")
	case "ifupdown":
		out = append(out, "ifupdown", "isc-dhcp-client")
	}
	slices.Sort(out)
	return slices.Compact(out)
}
