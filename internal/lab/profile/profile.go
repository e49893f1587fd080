// Package profile knows what a host of the lab can be like besides tidy: lab_host
// of the inventory, and the files that make a host so. It is pure, as topology is.
package profile

import "slices"

// Profile is one host's lab_host. The zero value is a tidy host: the lab gives it
// its address, and nothing but the product's own packages is on it.
type Profile struct {
	Suite       string   `json:"suite,omitempty"`        // the distribution; empty: the lab's
	Packages    []string `json:"packages,omitempty"`     // installed before the product's
	Client      string   `json:"client,omitempty"`       // what addresses the NICs; empty: the lab
	DHCP        bool     `json:"dhcp,omitempty"`         // the client asks a server
	Metric      int      `json:"metric,omitempty"`       // of eth0's routes, eth1's is 100 more
	NICs        int      `json:"nics,omitempty"`         // 1 or 2, in the same subnet
	PolicyRules bool     `json:"policy_rules,omitempty"` // "from ADDRESS lookup TABLE" for each NIC
	IP          []string `json:"ip,omitempty"`           // lines for ip(8)
	LANGateway  bool     `json:"lan_gateway,omitempty"`  // it has its LAN's first address, and an uplink
	// all of its endpoint that reaches it; zero: everything
	Forwarded   Ports             `json:"forwarded,omitzero"`
	Forward     string            `json:"forward,omitempty"`      // whose forward rules drop; empty: nobody's
	ForwardOpen bool              `json:"forward_open,omitempty"` // and the admin lets the mesh through
	NFTables    bool              `json:"nftables,omitempty"`     // Debian's nftables.conf, loaded at boot
	WireGuard   []Tunnel          `json:"wireguard,omitempty"`
	BGP         string            `json:"bgp,omitempty"` // the other BGP daemon; empty: none
	BGPPort     int               `json:"bgp_port,omitempty"`
	Sysctl      map[string]string `json:"sysctl,omitempty"`
	SysctlFile  string            `json:"sysctl_file,omitempty"`
	NoIPv6      bool              `json:"no_ipv6,omitempty"`
	Login       string            `json:"login,omitempty"` // who comes over ssh; empty: root
	Sudo        string            `json:"sudo,omitempty"`
}

// Ports are those of a public address that its NAT forwards to a host.
type Ports struct {
	First int `json:"first"`
	Last  int `json:"last"`
	To    int `json:"to"` // what the first becomes on the host
}

// All is each port and what it becomes on the host.
func (p Ports) All() map[int]int {
	out := map[int]int{}
	for port := p.First; p.Last > 0 && port <= p.Last; port++ {
		out[port] = p.To + port - p.First
	}
	return out
}

// Tunnel is another WireGuard interface of the host.
type Tunnel struct {
	Name  string `json:"name"`
	Port  int    `json:"port"`
	Quick bool   `json:"quick,omitempty"` // wg-quick makes it, else a daemon
}

// named are the profiles that have a name, as lab_host says them.
var named = map[string]map[string]any{
	// What a connected route looks like where DHCP, netplan or NetworkManager set it.
	"metric": {"metric": 100},
	// Who gives eth0 its address, as the clouds and offices have it.
	"dhcp-networkd":       {"client": "networkd", "dhcp": true},
	"dhcp-netplan":        {"client": "netplan", "dhcp": true},
	"dhcp-networkmanager": {"client": "networkmanager", "dhcp": true},
	"dhcp-ifupdown":       {"client": "ifupdown", "dhcp": true},
	// AL2023 and Ubuntu on EC2 with a second network interface.
	"ec2-two-nics": {"metric": 100, "nics": 2, "policy_rules": true},
	// Docker was installed: nothing is forwarded but its own.
	"docker-rules": {"forward": "docker"},
	// The programs themselves, of the distribution.
	"docker":      {"forward": "docker-package"},
	"docker-open": {"forward": "docker-package", "forward_open": true},
	"ufw":         {"forward": "ufw-package"},
	"ufw-open":    {"forward": "ufw-package", "forward_open": true},
	"frr":         {"bgp": "frr"},
	// The same, and the admin lets the rest through, as Docker's manual says.
	"docker-rules-open": {"forward": "docker", "forward_open": true},
	"ufw-rules":         {"forward": "ufw"},
	"ufw-rules-open":    {"forward": "ufw", "forward_open": true},
	"lan-gateway":       {"lan_gateway": true},
	"nftables-flush":    {"nftables": true},
	// A port of the mesh's own range is taken.
	"flannel": {"wireguard": map[string]any{"flannel-wg": 51820}},
	"tailscale": {
		"wireguard": map[string]any{"tailscale0": 41641},
		"ip": []any{
			"rule add pref 5210 fwmark 0x80000/0xff0000 lookup main",
			"rule add pref 5250 fwmark 0x80000/0xff0000 unreachable",
			"rule add pref 5270 lookup 52",
			"route add throw 127.0.0.0/8 table 52",
			"route add unreachable 100.100.100.100 table 52",
		},
	},
	// The user's own tunnel, by wg-quick.
	"road-warrior": {"wireguard": map[string]any{"wg-road": map[string]any{"port": 51999, "quick": true}}},
	// A routing table of somebody else, asked for its own networks only.
	"foreign-table": {"ip": []any{
		"rule add pref 220 from 192.168.77.0/24 lookup 220",
		"route add unreachable default table 220",
		"route add blackhole 192.168.78.0/24 proto static metric 4000",
	}},
	"other-bgp": {"bgp": "bird"},
	// What benchmarks for hardening ask of a host that is not a router.
	"hardened": {"sysctl": hardened},
	// The same, in a file that is read after everybody else's.
	"hardened-late": {"sysctl": hardened, "sysctl_file": "zz-hardening.conf"},
	"no-ping":       {"sysctl": map[string]any{"net.ipv4.icmp_echo_ignore_all": 1}},
	"no-ipv6":       {"ipv6": false},
	"sudo":          {"login": "admin"},
	"sudo-tty":      {"login": "admin", "sudo": "requiretty"},
	"sudo-password": {"login": "admin", "sudo": "password"},
}

var hardened = map[string]any{
	"net.ipv4.ip_forward":                        0,
	"net.ipv4.conf.all.rp_filter":                1,
	"net.ipv4.conf.default.rp_filter":            1,
	"net.ipv4.conf.all.send_redirects":           0,
	"net.ipv4.conf.default.send_redirects":       0,
	"net.ipv4.conf.all.accept_redirects":         0,
	"net.ipv4.conf.default.accept_redirects":     0,
	"net.ipv4.conf.all.secure_redirects":         0,
	"net.ipv4.conf.all.accept_source_route":      0,
	"net.ipv4.conf.all.log_martians":             1,
	"net.ipv4.icmp_echo_ignore_broadcasts":       1,
	"net.ipv6.conf.all.accept_redirects":         0,
	"net.ipv6.conf.default.accept_redirects":     0,
	"net.ipv6.conf.all.forwarding":               0,
	"net.ipv4.icmp_ignore_bogus_error_responses": 1,
}

// Cleartext is the password of the profile sudo-password. It guards nothing: the
// host is reached only from the machine that made it.
const Cleartext = "lab"

// Crypted is the same as /etc/shadow has it.
const Crypted = "$6$lab$8Didkn.UcNG/jLg7V7QIVX8TXEUMaHiIjiDSTr0wAgIU0I3PLx3iJU9IWSsHB2a53VxKmQZAq1Hyy09qF/fXn1"

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
