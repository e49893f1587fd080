package profile

import "fmt"

// otherPeer is the public key of a machine that is nowhere.
const otherPeer = "bGFiOiB0aGUga2V5IG9mIHNvbWVib2R5IGVsc2UuLi4="

// wireguardFiles make the other WireGuard interfaces at boot: by wg-quick as a user
// does, or as a daemon does that has no file in /etc/wireguard. Keys are made on the
// host, new at each boot.
func (p Profile) wireguardFiles() []File {
	var out []File
	for i, t := range p.WireGuard {
		address, network := fmt.Sprintf("100.96.%d.1/24", i), fmt.Sprintf("100.97.%d.0/24", i)
		if t.Quick {
			out = append(out,
				File{Path: "etc/wireguard/" + t.Name + ".conf", Mode: 0o600, Text: fmt.Sprintf(`[Interface]
Address = %s
ListenPort = %d
PostUp = wg genkey | wg set %%i private-key /dev/stdin

[Peer]
PublicKey = %s
AllowedIPs = %s
`, address, t.Port, otherPeer, network)},
				File{
					Path: "etc/systemd/system/multi-user.target.wants/wg-quick@" + t.Name + ".service",
					Link: "/lib/systemd/system/wg-quick@.service",
				})
			continue
		}
		out = append(out, unit("lab-"+t.Name+".service", fmt.Sprintf(`[Unit]
Description=Another WireGuard of this host
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /etc/lab/%[1]s.sh
[Install]
WantedBy=multi-user.target
`, t.Name))...)
		out = append(out, File{Path: "etc/lab/" + t.Name + ".sh", Mode: 0o755, Text: fmt.Sprintf(`#!/bin/sh
set -e
ip link show dev %[1]s >/dev/null 2>&1 || ip link add dev %[1]s type wireguard 2>/dev/null || wireguard-go %[1]s
wg genkey | wg set %[1]s private-key /dev/stdin listen-port %[2]d peer %[3]s allowed-ips %[4]s
ip address replace dev %[1]s %[5]s
ip link set dev %[1]s up
ip route replace %[4]s dev %[1]s
`, t.Name, t.Port, otherPeer, network, address)})
	}
	return out
}
