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
	add(bare && (p.Forward == "docker" || p.Forward == "ufw" || p.NFTables || p.LANGateway), "nftables")
	add(bare && len(p.WireGuard) > 0, "wireguard-tools", "wireguard-go")
	add(bare && p.BGP == "bird", "bird2")
	add(p.Forward == "docker-package", "docker.io", "iptables")
	add(p.Forward == "ufw-package", "ufw", "iptables")
	add(p.BGP == "frr", "frr")
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
