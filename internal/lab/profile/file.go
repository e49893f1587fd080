package profile

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// File is what a host has on its disk before it boots: a text or a link.
type File struct {
	Path string // without the slash in front
	Text string
	Mode fs.FileMode
	Link string // where it leads; empty: it is a text
}

// Card is a network interface of the host besides that of the lab's management.
type Card struct {
	Name      string
	MAC       string
	Addresses []netip.Prefix
	Gateways  []netip.Addr // of the same families as the first addresses
	Source    netip.Addr   // what a default route of its family sends from; zero: the kernel chooses
	Onlink    bool         // the gateways are in no subnet of the card's own
	Metric    int          // of its routes; 0: what the kernel takes
	Table     int          // for what comes from its addresses; 0: the main one
}

// Files lists what the profile puts on a host. The management address is the one
// that ssh of the lab uses.
func (p Profile) Files(cards []Card, management string) []File {
	return slices.Concat(
		p.clientFiles(cards),
		p.sysctlFiles(management),
		p.forwardFiles(),
		p.gatewayFiles(),
		p.nftablesFiles(),
		p.wireguardFiles(),
		p.bgpFiles(),
		p.loginFiles(),
	)
}

// unit is a service that systemd starts at boot.
func unit(name, text string) []File {
	path := "etc/systemd/system/" + name
	return []File{
		{Path: path, Text: text, Mode: 0o644},
		{Path: "etc/systemd/system/multi-user.target.wants/" + name, Link: "/" + path},
	}
}

// loginFiles say what the login of the host may do. The login itself is added to
// what /etc/passwd of the image has.
func (p Profile) loginFiles() []File {
	if p.Login == "" {
		return nil
	}
	text := p.Login + " ALL=(ALL) NOPASSWD:ALL\n"
	switch p.Sudo {
	case "requiretty":
		text += "Defaults requiretty\n"
	case "password":
		text = p.Login + " ALL=(ALL) ALL\nDefaults timestamp_timeout=0\n"
	}
	return []File{{Path: "etc/sudoers.d/lab", Text: text, Mode: 0o440}}
}

// gatewayFiles make the host the gateway of its LAN: it forwards, and hides the LAN
// behind its uplink.
func (p Profile) gatewayFiles() []File {
	if !p.LANGateway {
		return nil
	}
	return append(unit("lab-gateway.service", `[Unit]
Description=The way of this LAN to the internet
After=nftables.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/lab/gateway.nft
[Install]
WantedBy=multi-user.target
`),
		File{Path: "etc/sysctl.d/50-gateway.conf", Text: "net.ipv4.ip_forward = 1\n", Mode: 0o644},
		File{Path: "etc/lab/gateway.nft", Mode: 0o644, Text: `table ip lan {
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "eth0" counter masquerade
  }
}
`})
}

// bgpFiles run another BGP daemon, which listens on every address. It has a
// neighbour that is nowhere.
func (p Profile) bgpFiles() []File {
	port := cmp.Or(p.BGPPort, 179)
	switch p.BGP {
	case "frr":
		return []File{
			{
				Path: "etc/frr/daemons", Mode: 0o644,
				Text: fmt.Sprintf(
					"bgpd=yes\nvtysh_enable=yes\nzebra_options=\"-A 127.0.0.1\"\nbgpd_options=\"-A 127.0.0.1 -p %d\"\n",
					port),
			},
			{Path: "etc/frr/frr.conf", Mode: 0o644, Text: `frr defaults traditional
router bgp 64999
 bgp router-id 192.0.2.254
 neighbor 192.0.2.253 remote-as 64998
 neighbor 192.0.2.253 passive
`},
		}
	case "":
		return nil
	}
	return append(unit("lab-bgp.service", `[Unit]
Description=Another BGP daemon of this host
Before=bird.service
[Service]
ExecStart=/usr/sbin/bird -f -c /etc/lab/bgp.conf -s /run/lab-bgp.ctl -P /run/lab-bgp.pid
[Install]
WantedBy=multi-user.target
`), File{Path: "etc/lab/bgp.conf", Mode: 0o644, Text: fmt.Sprintf(`router id 192.0.2.254;
protocol device {}
protocol bgp elsewhere {
  local port %d as 64999;
  neighbor 192.0.2.253 as 64998;
  multihop;
  passive;
  ipv4 { import none; export none; };
}
`, port)})
}

// sysctlFiles are what systemd-sysctl reads at boot. Where IPv6 is off, the lab's
// own interface needs it all the same.
func (p Profile) sysctlFiles(management string) []File {
	var out []File
	if len(p.Sysctl) > 0 {
		var text strings.Builder
		for _, key := range slices.Sorted(maps.Keys(p.Sysctl)) {
			fmt.Fprintf(&text, "%s = %s\n", key, p.Sysctl[key])
		}
		name := cmp.Or(p.SysctlFile, "60-hardening.conf")
		out = append(out, File{Path: "etc/sysctl.d/" + name, Text: text.String(), Mode: 0o644})
	}
	if p.NoIPv6 {
		out = append(out, File{
			Path: "etc/sysctl.d/70-no-ipv6.conf", Mode: 0o644,
			Text: "net.ipv6.conf.all.disable_ipv6 = 1\nnet.ipv6.conf.default.disable_ipv6 = 1\n",
		})
		out = append(out, unit("lab-management.service", `[Unit]
Description=The lab's own way to this host
DefaultDependencies=no
After=systemd-sysctl.service
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo 0 >/proc/sys/net/ipv6/conf/mgmt0/disable_ipv6; `+
			`ip address replace dev mgmt0 `+management+` nodad'
`)...)
		out[len(out)-1].Path = "etc/systemd/system/sysinit.target.wants/lab-management.service"
	}
	return out
}

// otherPeer is the public key of a machine that is nowhere.
const otherPeer = "bGFiOiB0aGUga2V5IG9mIHNvbWVib2R5IGVsc2UuLi4="

// wireguardFiles make the other WireGuard interfaces at boot: by wg-quick as a user does, or as a
// daemon does that has no file in /etc/wireguard. Keys are made on the host, new at each boot.
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
