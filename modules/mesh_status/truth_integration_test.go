//go:build integration

package meshstatus_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
)

// A row of the truth: what is done on a router of a mesh that works, or around
// it, and what its status, or that of the router that sees it, has to say first then. Nothing: it stays green.
type row struct {
	kind, on, make, cure string
	first                string // a pattern; TUN is the tunnel to the next router
}

// chain is a row whose cause is a chain of nftables with these rules.
func chain(kind, on, name, is, first string, rules ...string) row {
	table := name[:strings.LastIndex(name, " ")]
	script := "add table " + table + "; add chain " + name + " { type " + is + "; }"
	for _, r := range rules {
		script += "; add rule " + name + " " + r
	}
	return row{kind, on, "nft '" + script + "'", "nft delete table " + table, first}
}

// causes hinder what a router is to forward, or what it sends to another site.
var causes = []row{
	{
		"rule", "azure-1",
		"ip rule add from 10.1.1.4 lookup 101 pref 10101; ip route add default via 10.1.1.1 table 101",
		"ip rule del pref 10101; ip route flush table 101",
		`^rule 10101 \(from 10\.1\.1\.4 lookup 101\) sends its own packets for 10\.0\.0\.0/16 of office out of eth0`,
	},
	{
		"rule", "azure-1",
		"ip rule add to 10.0.0.0/16 lookup 200 pref 99; ip route add default via 192.0.2.254 dev wan table 200",
		"ip rule del pref 99; ip route flush table 200",
		`^rule 99 \(from all to 10\.0\.0\.0/16 lookup 200\) sends 10\.0\.0\.0/16 of office out of wan: `,
	},
	{
		"rule", "office-1",
		"ip rule add iif eth0 lookup 201 pref 98; ip route add default via 192.0.2.254 dev wan table 201",
		"ip rule del pref 98; ip route flush table 201",
		`^rule 98 \(from all iif eth0 lookup 201\) sends 10\.1\.0\.0/16 of azure out of wan: `,
	},
	{
		"rule", "azure-2",
		"ip rule add to 10.1.0.0/16 lookup 202 pref 97; ip route add default via 192.0.2.254 dev wan table 202",
		"ip rule del pref 97; ip route flush table 202",
		`^rule 97 \(from all to 10\.1\.0\.0/16 lookup 202\) sends 10\.1\.0\.0/16 out of wan: `,
	},
	{
		"rule that drops", "azure-1",
		"ip rule add from 10.1.0.0/16 to 10.0.0.0/16 prohibit pref 96", "ip rule del pref 96",
		`^rule 96 \(from 10\.1\.0\.0/16 to 10\.0\.0\.0/16 prohibit\) drops 10\.0\.0\.0/16 of office: `,
	},
	{
		"rule that drops", "office-1", "ip rule add iif TUN blackhole pref 95", "ip rule del pref 95",
		`^rule 95 \(from all iif TUN blackhole\) drops 10\.0\.0\.0/16: `,
	},
	{
		"table", "office-1",
		"ip rule add from 10.0.0.0/16 lookup 203 pref 94; ip route add unreachable default table 203",
		"ip rule del pref 94; ip route flush table 203",
		`^rule 94 \(from 10\.0\.0\.0/16 lookup 203\) drops 10\.1\.0\.0/16 of azure \(route unreachable default\): `,
	},
	{
		"address that is another one", "office-1",
		"ip addr add 10.0.1.5/32 dev eth0; ip addr del 10.0.1.4/24 dev eth0; ip addr add 10.0.1.5/24 dev eth0; " +
			"ip route replace default via 10.0.1.1; sleep 2",
		"ip addr flush dev eth0; ip addr add 10.0.1.4/24 dev eth0; ip route replace default via 10.0.1.1",
		`^the kernel takes no route of BIRD's to 10\.1\.0\.0/16: `,
	},
	{
		"route", "azure-1", "ip route add 10.0.7.0/24 via 192.0.2.254", "ip route del 10.0.7.0/24",
		`^route 10\.0\.7\.0/24 via 192\.0\.2\.254 dev wan \(proto boot\) takes 10\.0\.7\.0/24 of office away, ` +
			`expected a tunnel: `,
	},
	{
		"route", "azure-1",
		"ip link add docker0 type bridge; ip addr add 10.0.8.1/24 dev docker0; ip link set docker0 up",
		"ip link del docker0",
		`^route 10\.0\.8\.0/24 dev docker0 \(proto kernel\) takes 10\.0\.8\.0/24 of office away, expected a tunnel: `,
	},
	{
		"route", "office-1", "ip route add 10.0.0.0/16 dev wan metric 5 proto static",
		"ip route del 10.0.0.0/16 dev wan metric 5",
		`^route 10\.0\.0\.0/16 dev wan \(proto static\) beats the site's own by eth0: `,
	},
	{
		"route", "azure-1", "ip route add 10.0.9.9/32 via 10.1.1.1", "ip route del 10.0.9.9/32",
		`^route 10\.0\.9\.9/32 via 10\.1\.1\.1 dev eth0 \(proto boot\) takes `,
	},
	{
		"peer", "azure-1", "wg set TUN peer xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= allowed-ips 10.0.9.9/32",
		"wg set TUN peer xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg= remove",
		`^another peer of TUN takes what goes to 10\.0\.9\.9/32: `,
	},
	{
		"tunnel that is down", "azure-1", "ip link set TUN down", "ip link set TUN up",
		`^tunnel TUN to [a-z0-9-]+: TUN is down: `,
	},
	{
		"route that drops", "azure-1", "ip route add blackhole 10.1.9.0/24",
		"ip route del blackhole 10.1.9.0/24", `^route blackhole 10\.1\.9\.0/24 \(proto boot\) drops 10\.1\.9\.0/24: `,
	},
	{
		"route that drops", "azure-2", "ip route add unreachable 10.0.4.0/22",
		"ip route del unreachable 10.0.4.0/22", `^route unreachable 10\.0\.4\.0/22 \(proto boot\) drops `,
	},
	{
		"route that drops", "azure-2", "ip route add prohibit 10.0.5.0/24 proto static",
		"ip route del prohibit 10.0.5.0/24 proto static", `^route prohibit 10\.0\.5\.0/24 \(proto static\) drops `,
	},
	{
		"sysctl", "azure-1", "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1",
		`^it forwards no IPv4 \(net\.ipv4\.ip_forward=0\): `,
	},
	{
		"sysctl of an interface", "azure-1", "sysctl -qw net.ipv4.conf.eth0.forwarding=0",
		"sysctl -qw net.ipv4.conf.eth0.forwarding=1",
		`^it forwards nothing that comes by eth0 \(net\.ipv4\.conf\.eth0\.forwarding=0\): `,
	},
	{
		"sysctl of an interface", "azure-2", "sysctl -qw net.ipv4.conf.TUN.forwarding=0",
		"sysctl -qw net.ipv4.conf.TUN.forwarding=1",
		`^it forwards nothing that comes by TUN \(net\.ipv4\.conf\.TUN\.forwarding=0\): `,
	},
	{
		"reverse path filter", "azure-1", "sysctl -qw net.ipv4.conf.all.rp_filter=1",
		"sysctl -qw net.ipv4.conf.all.rp_filter=0",
		`^it drops packets that come by another interface than the way back \(net\.ipv4\.conf\.all\.rp_filter=1\): `,
	},
	{
		"reverse path filter", "office-1",
		"for d in /proc/sys/net/ipv4/conf/wm*; do echo 1 > $d/rp_filter; done",
		"for d in /proc/sys/net/ipv4/conf/wm*; do echo 0 > $d/rp_filter; done",
		`^it drops packets that come by another interface than the way back \(net\.ipv4\.conf\.wm\w+\.rp_filter=1\): `,
	},
	chain("filter", "azure-1", "inet f forward", "filter hook forward priority 0; policy drop",
		`^nft inet f forward: policy drop drops icmp from 10\.0\.0\.0/16 to 10\.1\.0\.0/16: `),
	chain("filter", "azure-1", "inet f forward", "filter hook forward priority 0; policy drop",
		`^nft inet f forward: policy drop drops tcp from 10\.0\.0\.0/16 to 10\.1\.0\.0/16: `,
		"icmp type echo-request accept", "ct state established,related accept"),
	chain("filter", "azure-2", "ip f onward", "filter hook forward priority 10",
		`^nft ip f onward: iifname "wm\*" oifname "eth0" drop drops icmp from `,
		`iifname "wm*" oifname "eth0" counter drop`),
	{
		"filter", "office-1",
		`nft 'add table inet f; add chain inet f c; add rule inet f c meta l4proto tcp reject; add chain inet f ` +
			`forward { type filter hook forward priority 0; }; add rule inet f forward iifname "eth0" jump c'`,
		"nft delete table inet f",
		`^nft inet f c: meta l4proto (tcp|6) reject.* drops tcp from 10\.0\.0\.0/16 to 10\.1\.0\.0/16: `,
	},
	{
		"filter after a chain that returns", "azure-1",
		`nft 'add table inet f; add chain inet f c; add rule inet f c meta mark 5 return; add chain inet f ` +
			`forward { type filter hook forward priority 0; policy drop; }; add rule inet f forward jump c'`,
		"nft delete table inet f",
		`^nft inet f forward: policy drop drops icmp from 10\.0\.0\.0/16 to 10\.1\.0\.0/16: `,
	},
	chain("filter between two tunnels", "azure-2", "inet f onward",
		"filter hook forward priority 0; policy drop",
		`^nft inet f onward: policy drop drops icmp from 10\.1\.0\.0/16 to 10\.0\.0\.0/16: `,
		"ct state established accept", `iifname "eth0" oifname "wm*" accept`, `iifname "wm*" oifname "eth0" accept`),
	chain("filter at another hook", "azure-1", "inet f early", "filter hook prerouting priority -300",
		`^nft inet f early: ip saddr \{? ?10\.0\.0\.0/8 ?\}? iifname "wm\*" drop drops `,
		`ip saddr { 10.0.0.0/8 } iifname "wm*" drop`),
	chain("filter at another hook", "azure-1", "inet f late", "filter hook postrouting priority 300",
		`^nft inet f late: oifname "eth0" meta l4proto != (tcp|6) drop drops icmp from `,
		`oifname "eth0" meta l4proto != tcp drop`),
	chain("filter of a device", "azure-1", "netdev f in", `filter hook ingress device "eth0" priority 0`,
		`^nft netdev f in: ip daddr 10\.0\.0\.0/16 drop drops icmp from 10\.1\.0\.0/16 to 10\.0\.0\.0/16: `,
		"ip daddr 10.0.0.0/16 drop"),
	chain("reverse path filter of nftables", "azure-1", "inet f raw", "filter hook prerouting priority -300",
		`^nft inet f raw: fib saddr \. iif oif missing drop drops icmp from 10\.0\.0\.0/16 to 10\.1\.0\.0/16: `,
		"fib saddr . iif oif missing drop"),
	chain("address translation", "azure-1", "ip f post", "nat hook postrouting priority 100",
		`^nft ip f post: oifname "wm\*" masquerade rewrites packets from 10\.1\.0\.0/16 to 10\.0\.0\.0/16: `,
		`oifname "wm*" masquerade`),
	chain("address translation", "azure-1", "ip f post", "nat hook postrouting priority 100",
		`^nft ip f post: oifname "eth0" ip saddr 10\.0\.0\.0/8 snat to 10\.1\.1\.4 rewrites packets from `+
			`10\.0\.0\.0/16 to 10\.1\.0\.0/16: `,
		`oifname "eth0" ip saddr 10.0.0.0/8 snat to 10.1.1.4`),
	chain("address translation", "office-1", "ip f pre", "nat hook prerouting priority -100",
		`^nft ip f pre: iifname "eth0" ip daddr 10\.1\.0\.0/16 dnat to 10\.0\.1\.20 rewrites packets from `+
			`10\.0\.0\.0/16 to 10\.1\.0\.0/16: `,
		`iifname "eth0" ip daddr 10.1.0.0/16 dnat to 10.0.1.20`),
	{
		"tunnel's own packets", "azure-1",
		"nft 'add table inet f; add chain inet f in { type filter hook input priority 0; }; add rule inet f in " +
			"udp dport 3784 drop'; while birdc -s CTL show bfd sessions | grep -q ' Up '; do sleep 0.1; done",
		"nft delete table inet f", `^nft inet f in: udp dport 3784 drop drops udp of tunnel wm`,
	},
	{
		"our own table", "azure-1", "nft delete table inet wgmesh", "nft -f /etc/wireguard/wgmesh.nft",
		`^table inet wgmesh is not loaded, so TCP may hang in tunnels`,
	},
	{
		"our own table", "azure-1", "nft flush ruleset", "nft -f /etc/wireguard/wgmesh.nft",
		`^table inet wgmesh is not loaded, so `,
	},
	{
		"our own table", "azure-1", "nft flush chain inet wgmesh forward",
		"nft -f /etc/wireguard/wgmesh.nft", `^table inet wgmesh is not what /etc/wireguard/wgmesh\.nft says, so `,
	},
	{
		"our own table", "azure-1", `nft add rule inet wgmesh forward oifname "wan" accept`,
		"nft -f /etc/wireguard/wgmesh.nft", `^table inet wgmesh is not what /etc/wireguard/wgmesh\.nft says, so `,
	},
	{
		"IPsec", "azure-1",
		"ip xfrm policy add src 10.1.0.0/16 dst 10.0.0.0/8 dir out tmpl src 192.0.2.2 dst 192.0.2.9 " +
			"proto esp mode tunnel",
		"ip xfrm policy flush",
		`^the IPsec policy 10\.1\.0\.0/16 to 10\.0\.0\.0/8 \(dir out\) ` +
			`takes what goes from 10\.1\.0\.0/16 to 10\.0\.0\.0/16: `,
	},
	{
		"IPsec", "office-1",
		"ip xfrm policy add src 0.0.0.0/0 dst 10.0.0.0/16 dir fwd action block", "ip xfrm policy flush",
		`^the IPsec policy 0\.0\.0\.0/0 to 10\.0\.0\.0/16 \(dir fwd\) ` +
			`takes what goes from 10\.1\.0\.0/16 to 10\.0\.0\.0/16: `,
	},
	{
		"allowed-ips", "office-1", "wg set TUN peer $(wg show TUN peers) allowed-ips 172.31.0.0/16",
		"wg set TUN peer $(wg show TUN peers) allowed-ips 0.0.0.0/0",
		`^allowed-ips lack what is behind azure-1: `,
	},
	{
		"link", "azure-1", "ip link set eth0 down",
		"ip link set eth0 up; ip route replace default via 10.1.1.1; birdc -s CTL restart static1",
		`^it has no route for 10\.1\.0\.0/16: |^\S+ of its own site`,
	},
	{
		"ping", "azure-1", "sysctl -qw net.ipv4.icmp_echo_ignore_all=1",
		"sysctl -qw net.ipv4.icmp_echo_ignore_all=0", `^it ignores ping \(net\.ipv4\.icmp_echo_ignore_all=1\): `,
	},
}

// clouds are causes around a router, which another one sees: what drops and diverts in
// the site's namespace is done by the cloud, or by its gateway.
var clouds = []row{
	chain("source/destination check", "azure, seen by office-1", "ip c f", "filter hook forward priority 0",
		`^no answer from 10\.1\.\d\.\d+ comes back through azure-1, but through azure-2: look at both, `+
			`first azure-1's `,
		"iifname r2 ip saddr != 10.1.1.4 drop", "oifname r2 ip daddr != 10.1.1.4 drop"),
	chain("source/destination check", "azure, seen by office-1", "ip c f", "filter hook forward priority 0",
		`^no answer from 10\.1\.\d\.\d+ comes back through azure-2, but through azure-1: look at both, `+
			`first azure-2's `,
		"iifname r3 ip saddr != 10.1.2.4 drop"),
	{
		kind: "program behind the filters", on: "azure-1, seen by office-1",
		make: "tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress protocol ip u32 match ip src " +
			"10.0.0.0/16 action mirred egress redirect dev lo",
		cure: "tc qdisc del dev eth0 clsact",
		first: `^no answer from 10\.1\.\d\.\d+ comes back through azure-1, but through azure-2: ` +
			`look at both, first azure-1's `,
	},
	{
		kind: "host that is down", on: "azure-host, seen by azure-1", make: "ip link set eth0 down",
		cure:  "ip link set eth0 up; ip route add default via 10.1.3.1",
		first: `^10\.1\.3\.20 of its own site does not answer `,
	},
	{
		kind: "gateway that forwards nothing", on: "azure, seen by azure-1",
		make: "sysctl -qw net.ipv4.conf.r2.forwarding=0", cure: "sysctl -qw net.ipv4.conf.r2.forwarding=1",
		first: `^10\.1\.3\.20 of its own site does not answer \(10\.1\.0\.0/16 via 10\.1\.1\.1 dev eth0\): `,
	},
	{
		kind: "gateway that forwards nothing", on: "azure, seen by office-1",
		make: "sysctl -qw net.ipv4.conf.r2.forwarding=0", cure: "sysctl -qw net.ipv4.conf.r2.forwarding=1",
		first: `^no answer from 10\.1\.\d\.\d+ comes back through azure-1, but through azure-2: ` +
			`look at both, first azure-1's `,
	},
	{
		kind: "gateway that is dead", on: "azure, seen by azure-2",
		make:  "ip addr del 10.1.2.1/24 dev r3",
		cure:  "ip addr add 10.1.2.1/24 dev r3; ip route replace 10.0.0.0/16 via 10.1.2.4 metric 20",
		first: `^gateway 10\.1\.2\.1 of 10\.1\.0\.0/16 does not answer on eth0: `,
	},
	{
		// As where BIRD 3 was told to read its text again: it hears of no cable any more.
		kind: "cable that is out", on: "azure, seen by azure-2",
		make:  "ip link set r3 down",
		cure:  "ip link set r3 up; ip route replace 10.0.0.0/16 via 10.1.2.4 metric 20",
		first: `^eth0 has no carrier, and BIRD has 10\.1\.0\.0/16 by it: `,
	},
	{
		kind: "site's routes lead nowhere", on: "azure, seen by office-1",
		make:  "ip route del 10.0.0.0/16 metric 10; ip route del 10.0.0.0/16 metric 20",
		cure:  "ip route add 10.0.0.0/16 via 10.1.1.4 metric 10; ip route add 10.0.0.0/16 via 10.1.2.4 metric 20",
		first: `^no answer from 10\.1\.3\.20 comes back through azure-1, azure-2: `,
	},
}

// oddities are what hosts have, and what does no harm.
var oddities = []row{
	{
		kind: "rule for another network", on: "azure-1",
		make: "ip rule add from 192.168.7.0/24 lookup 150 pref 90", cure: "ip rule del pref 90",
	},
	{
		kind: "second NIC with its own rule and table", on: "azure-1",
		make: "ip link add eth1 type veth peer name eth1x; ip link set eth1x up; ip addr add 10.1.5.4/24 dev eth1; " +
			"ip link set eth1 up; ip rule add from 10.1.5.4 lookup 102 pref 10102; " +
			"ip route add default via 10.1.5.1 dev eth1 table 102",
		cure: "ip link del eth1; ip rule del pref 10102",
	},
	{
		kind: "empty table before main", on: "office-1", make: "ip rule add lookup 151 pref 91",
		cure: "ip rule del pref 91",
	},
	{
		kind: "rule by mark", on: "office-1",
		make: "ip rule add fwmark 0x5210 lookup 152 pref 92; ip route add default dev wan table 152",
		cure: "ip rule del pref 92; ip route flush table 152",
	},
	{
		kind: "Docker's bridge", on: "azure-1",
		make: "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up",
		cure: "ip link del docker0",
	},
	{
		kind: "blackhole for an attacker", on: "azure-2", make: "ip route add blackhole 203.0.113.66",
		cure: "ip route del blackhole 203.0.113.66",
	},
	{
		kind: "route of the LAN behind another router", on: "office-1",
		make: "ip route add 10.0.5.0/24 via 10.0.1.20 proto static", cure: "ip route del 10.0.5.0/24",
	},
	{
		kind: "strict filter on the site's interface", on: "office-1",
		make: "sysctl -qw net.ipv4.conf.eth0.rp_filter=1", cure: "sysctl -qw net.ipv4.conf.eth0.rp_filter=0",
	},
	{
		kind: "loose filter everywhere", on: "azure-1",
		make: "sysctl -qw net.ipv4.conf.all.rp_filter=2", cure: "sysctl -qw net.ipv4.conf.all.rp_filter=0",
	},
	chain("Docker's forward chain, and rules for the mesh", "azure-1", "ip d FORWARD",
		"filter hook forward priority 0; policy drop", "", "ct state related,established accept",
		`oifname "docker0" drop`, "ip saddr 10.0.0.0/8 ip daddr 10.0.0.0/8 accept"),
	chain("Docker's masquerade", "azure-1", "ip d POSTROUTING", "nat hook postrouting priority 100", "",
		`oifname != "docker0" ip saddr 172.17.0.0/16 masquerade`),
	{
		kind: "kube-proxy's masquerade", on: "azure-1",
		make: `nft 'add table ip d; add chain ip d m; add rule ip d m meta mark & 0x4000 == 0 return; ` +
			`add rule ip d m masquerade; add chain ip d post { type nat hook postrouting priority 100; }; ` +
			`add rule ip d post jump m'`,
		cure: "nft delete table ip d",
	},
	chain("proxy for one port", "azure-1", "ip d pre", "nat hook prerouting priority -100", "",
		"tcp dport 3128 redirect to :3129"),
	chain("what no connection begins with", "azure-1", "inet d f", "filter hook forward priority 0", "",
		"ip frag-off & 0x1fff != 0 drop", "tcp flags & (fin|syn) == (fin|syn) drop",
		"tcp flags & (fin|syn|rst|ack) != syn ct state new drop", "ct count over 9999 drop"),
	chain("masquerade to the internet", "office-1", "ip d post", "nat hook postrouting priority 100", "",
		`oifname "wan" masquerade`),
	chain("input chain that drops", "azure-2", "inet d input", "filter hook input priority 0; policy drop", "",
		"ct state established,related accept", "iifname { lo, eth0 } accept", "udp dport 51800-51899 accept",
		`iifname "wm*" accept`),
	chain("ufw's input chain", "azure-1", "inet d input", "filter hook input priority 0; policy drop", "",
		"ct state established,related accept", "ct state invalid drop", "iifname { lo, eth0 } accept",
		"udp dport 51800-51899 accept", `iifname "wm*" accept`),
	chain("answers nobody asked for are dropped", "azure-1", "inet d onward", "filter hook forward priority 0", "",
		"ct state invalid drop"),
	{
		kind: "list of attackers", on: "office-1",
		make: "nft 'add table inet d; add set inet d bad { type ipv4_addr; flags interval; " +
			"elements = { 203.0.113.0/24, 198.51.100.7 }; }; " +
			"add chain inet d onward { type filter hook prerouting priority -200; }; " +
			"add rule inet d onward ip saddr @bad drop'",
		cure: "nft delete table inet d",
	},
	chain("verdict map of states", "azure-1", "inet d onward", "filter hook forward priority 0", "",
		"ct state vmap { established : accept, related : accept, invalid : drop }"),
	chain("port that is closed between sites", "azure-1", "inet d onward", "filter hook forward priority 0", "",
		"tcp dport 25 drop"),
	chain("counters, logs and limits", "azure-1", "inet d onward", "filter hook forward priority 0", "",
		`limit rate 5/minute counter log prefix "fwd"`),
	{
		kind: "IPsec to a partner", on: "azure-1",
		make: "ip xfrm policy add src 10.1.0.0/16 dst 172.20.0.0/16 dir out tmpl src 192.0.2.2 dst 192.0.2.9 " +
			"proto esp mode tunnel",
		cure: "ip xfrm policy flush",
	},
	{
		kind: "IPsec that lets all through", on: "azure-1",
		make: "ip xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir fwd action allow", cure: "ip xfrm policy flush",
	},
	{
		kind: "rule that leads where main does", on: "azure-1",
		make: "ip rule add to 10.0.0.0/16 lookup main pref 93", cure: "ip rule del pref 93",
	},
}

// TestTruth makes each cause and each oddity on a mesh that works. It prints a table;
// make truth keeps it. TRUTH is a pattern of the rows to do.
func TestTruth(t *testing.T) {
	m := newMesh(t, 1340)
	m.green(t, 120)
	chosen := regexp.MustCompile(os.Getenv("TRUTH"))
	for _, r := range slices.Concat(causes, clouds, oddities) {
		if !chosen.MatchString(r.kind + " " + r.make) {
			continue
		}
		where, seen, _ := strings.Cut(r.on, ", seen by ")
		on, next := m.pairOf(cmp.Or(seen, where))
		local := strings.NewReplacer("TUN", m.device(on.name, next.name), "CTL", m.socket(on.name))
		t.Run(r.kind, func(t *testing.T) {
			m.in(t, where, "sh", "-ec", local.Replace(r.make))
			wait, expected := 0, local.Replace(r.first)
			if expected == "" { // a ping may be late
				wait, expected = 120, "^green$"
			}
			var problems []string
			var took time.Duration
			for range tries {
				began := time.Now()
				problems = append(texts(m.status(t, on, wait, nil)["problems"]), "green")
				took = time.Since(began).Round(time.Millisecond)
				if regexp.MustCompile(expected).MatchString(problems[0]) {
					break
				}
			}
			said := problems[0]
			m.in(t, where, "sh", "-ec", local.Replace(r.cure))
			t.Logf("| %-40s | %-23s | %5s | %s", r.kind, r.on, took, said)
			assert.Regexp(t, expected, said, "%s", local.Replace(r.make))
			for _, p := range problems[:1] {
				assert.LessOrEqual(t, len(p), 160, p)
			}
			if strings.HasPrefix(r.kind, "ping") || r.first == "" {
				return // it works on
			}
			assert.Eventually(t, func() bool {
				return m.status(t, on, 10, nil)["healthy"] == true
			}, 2*time.Minute, 10*time.Millisecond, "mended")
		})
	}
}

// tries is how often a router is asked: the answer to one ping may be late.
const tries = 5

// TestUntried has a mesh with the least MTU that a site may have, in which the pings have to
// fit into the tunnels, and takes away what a router could try.
func TestUntried(t *testing.T) {
	m := newMesh(t, 1220)
	m.green(t, 120)
	office, _ := m.pairOf("office-1")
	assert.Empty(t, m.status(t, office, 0, nil)["warnings"])
	m.in(t, "azure", "sysctl", "-qw", "net.ipv4.conf.r2.forwarding=0")
	var problems []string
	for i := 0; i < tries && len(problems) != 1; i++ {
		problems = texts(m.status(t, office, 0, nil)["problems"])
	}
	if assert.Len(t, problems, 1) {
		assert.Contains(t, problems[0], "no answer from 10.1.3.20 comes back through azure-1, but through azure-2: ")
	}
	m.in(t, "azure", "sysctl", "-qw", "net.ipv4.conf.r2.forwarding=1")

	tunnels := []any{}
	for _, peer := range nodes[1:] {
		_, theirs := ends(office, peer)
		tunnels = append(tunnels, map[string]any{
			"name": m.device(office.name, peer.name), "peer": peer.name, "address": theirs,
			"networks": []string{sites["azure"]},
		})
	}
	alone := map[string]any{"tunnels": tunnels, "reach": nil} // as with --limit
	warnings := texts(m.status(t, office, 0, alone)["warnings"])
	if assert.Len(t, warnings, 1) {
		assert.Contains(t, warnings[0], "no ping is tried for the routers of azure to forward: ")
	}
	alone["source_networks"] = []string{"10.9.0.0/16"}
	alone["probe"] = []string{}
	warnings = texts(m.status(t, office, 0, alone)["warnings"])
	if assert.Len(t, warnings, 2) {
		assert.Contains(t, warnings[1], "no own address in 10.9.0.0/16 to ask azure-1, azure-2 from: ")
	}
}

// pairOf is a router of that name, and the one that its first tunnel leads to.
func (m *mesh) pairOf(name string) (node, node) {
	i := 0
	for nodes[i].name != name {
		i++
	}
	return nodes[i], nodes[(i+1)%len(nodes)]
}

// A mesh is three routers in network namespaces, office-1 and two of azure, with a
// namespace for each site's cloud: its gateway, and a host behind it. Each router has
// its site on eth0, like a VM, and the outside on wan.
type mesh struct {
	pair // for its helpers; ns are the routers and the sites
	mtu  int
}

// A node is a router of it.
type node struct {
	name, site, address, gateway string
	id, as                       int
}

var nodes = []node{
	{"office-1", "office", "10.0.1.4", "10.0.1.1", 1, 65010},
	{"azure-1", "azure", "10.1.1.4", "10.1.1.1", 2, 65020},
	{"azure-2", "azure", "10.1.2.4", "10.1.2.1", 3, 65020},
}

var sites = map[string]string{"office": "10.0.0.0/16", "azure": "10.1.0.0/16"}

// hosts are those behind the routers.
var hosts = map[string][]string{"office": {"10.0.3.20"}, "azure": {"10.1.3.20"}}

func newMesh(t *testing.T, mtu int) *mesh {
	t.Helper()
	nettest.Need(t, "bird", "birdc", "wg", "nft", "tc")
	m := &mesh{mtu: mtu, pair: pair{
		whole: t, binary: nettest.Wgmesh(t, "modules"), dir: t.TempDir(),
		public: map[string]string{}, bird: map[string]*exec.Cmd{}, wg: map[string]*exec.Cmd{},
		ns: map[string]nettest.Namespace{}, tun: map[string]string{},
	}}
	for _, n := range []string{
		"office-1", "azure-1", "azure-2", "office", "azure", "office-host", "azure-host", "internet",
	} {
		m.ns[n] = nettest.New(t, n)
	}
	m.table(t, "azure-1")
	m.in(t, "internet", "ip", "link", "add", "name", "lan", "type", "bridge")
	m.in(t, "internet", "ip", "link", "set", "lan", "up")
	for _, n := range nodes {
		m.join(t, n)
	}
	for site, third := range map[string]string{"office": "10.0.3", "azure": "10.1.3"} {
		nettest.Cable(t, m.ns[site], "card", m.ns[site+"-host"], "eth0")
		m.in(t, site, "sh", "-ec",
			"ip addr add "+third+".1/24 dev card; ip link set card up; sysctl -qw net.ipv4.ip_forward=1")
		m.in(t, site+"-host", "sh", "-ec",
			"ip addr add "+third+".20/24 dev eth0; ip link set eth0 up; ip route add default via "+third+".1")
	}
	m.in(t, "office", "sh", "-ec", "ip route add 10.1.0.0/16 via 10.0.1.4")
	m.in(t, "azure", "sh", "-ec",
		"ip route add 10.0.0.0/16 via 10.1.1.4 metric 10; ip route add 10.0.0.0/16 via 10.1.2.4 metric 20")
	for i, n := range nodes {
		for _, peer := range nodes[i+1:] {
			m.tunnel(t, n, peer)
		}
	}
	for _, n := range nodes {
		m.route(t, n)
	}
	return m
}

// join hangs a router on its site and on the internet.
func (m *mesh) join(t *testing.T, n node) {
	t.Helper()
	port := "r" + fmt.Sprint(n.id)
	nettest.Cable(t, m.ns[n.name], "eth0", m.ns[n.site], port)
	nettest.Cable(t, m.ns[n.name], "wan", m.ns["internet"], port)
	m.in(t, "internet", "ip", "link", "set", port, "master", "lan", "up")
	m.in(t, n.site, "sh", "-ec", fmt.Sprintf("ip link set %s up; ip addr add %s/24 dev %s", port, n.gateway, port))
	m.in(t, n.name, "sh", "-ec",
		fmt.Sprintf(
			`ip link set eth0 up; ip link set wan up
			ip addr add %s/24 dev eth0; ip addr add 192.0.2.%d/24 dev wan
			ip route add default via %s
			sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
				net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.default.rp_filter=0`, n.address, n.id, n.gateway))
	m.public[n.name] = strings.TrimSpace(
		nettest.Sh(t, "umask 077; wg genkey | tee %s/%s.key | wg pubkey", m.dir, n.name))
}

// device is a router's tunnel to another one: wireguard-go's sockets are shared by
// all namespaces, so the names are too.
func (m *mesh) device(n, peer string) string {
	short := strings.NewReplacer("office-", "o", "azure-", "z")
	return fmt.Sprintf("wm%03d%s%s", os.Getpid()%1000, short.Replace(n), short.Replace(peer))
}

// ends are the link addresses of a tunnel, the router's own one first.
func ends(n, peer node) (string, string) {
	low, high := fmt.Sprintf("172.31.%d%d.0", min(n.id, peer.id),
		max(n.id, peer.id)), fmt.Sprintf("172.31.%d%d.1", min(n.id, peer.id), max(n.id, peer.id))
	if n.id < peer.id {
		return low, high
	}
	return high, low
}

func (m *mesh) tunnel(t *testing.T, a, b node) {
	t.Helper()
	for _, end := range [][2]node{{a, b}, {b, a}} {
		n, peer := end[0], end[1]
		dev, port := m.device(n.name, peer.name), fmt.Sprintf("518%d%d", min(n.id, peer.id), max(n.id, peer.id))
		m.ns[n.name].WireGuard(m.whole, dev)
		mine, _ := ends(n, peer)
		m.in(t, n.name, "wg", "set", dev, "listen-port", port, "private-key", filepath.Join(m.dir, n.name+".key"),
			"peer", m.public[peer.name], "endpoint", fmt.Sprintf("192.0.2.%d:%s", peer.id, port),
			"persistent-keepalive", "1", "allowed-ips", "0.0.0.0/0")
		m.in(t, n.name, "sh", "-ec",
			fmt.Sprintf("ip addr add %s/31 dev %s; ip link set %s mtu %d up", mine, dev, dev, m.mtu))
	}
}

// route starts a router's BIRD.
func (m *mesh) route(t *testing.T, n node) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `router id 0.0.0.%d;
protocol device {}
protocol bfd { interface "*" { interval 200 ms; multiplier 10; }; }
protocol static { ipv4; route %s via %s; }
protocol kernel { scan time 1; ipv4 { import none; `+
		`export filter { if source = RTS_STATIC then krt_metric = 512; krt_prefsrc = %s; accept; }; }; }
`, n.id, sites[n.site], n.gateway, n.address)
	for _, peer := range nodes {
		if peer.id == n.id {
			continue
		}
		mine, theirs := ends(n, peer)
		export := "source = RTS_STATIC"
		if peer.as == n.as {
			export = "true"
		}
		fmt.Fprintf(&b, `protocol bgp %s { local %s as %d; neighbor %s as %d; interface "%s"; direct; bfd on;
  connect delay time 1; connect retry time 1; error wait time 1,2;
  ipv4 { import where net != %s; export where %s; next hop self; }; }
`, protocol(peer.name), mine, n.as, theirs, peer.as, m.device(n.name, peer.name), sites[n.site], export)
	}
	path := filepath.Join(m.dir, n.name+".conf")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	m.bird[n.name] = m.ns[n.name].Start(m.whole, "bird", "-f", "-c", path, "-s", m.socket(n.name),
		"-P", filepath.Join(m.dir, n.name+".pid"))
	nettest.BirdAnswers(t, m.socket(n.name), "")
}

// clamp is the table that the module wg_tunnel makes.
const clamp = `table inet wgmesh {}
delete table inet wgmesh
table inet wgmesh {
	chain forward {
		type filter hook forward priority mangle; policy accept;
		iifname "wm*" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
		oifname "wm*" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
	}
}
`

// table gives a router the table of ours and its file, which ip netns shows to it alone.
func (m *mesh) table(t *testing.T, n string) {
	t.Helper()
	dir := "/etc/netns/" + m.ns[n].Name
	require.NoError(t, os.MkdirAll(dir+"/wireguard", 0o700))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(dir+"/wireguard/wgmesh.nft", []byte(clamp), 0o600))
	m.in(t, n, "nft", "-f", "/etc/wireguard/wgmesh.nft")
}

func protocol(name string) string { return strings.ReplaceAll(name, "-", "_") }

// status runs the module on a router, as the role does.
func (m *mesh) status(t *testing.T, on node, wait int, change map[string]any) map[string]any {
	t.Helper()
	reach, tunnels, prefixes := map[string]any{}, []any{}, []any{}
	for _, peer := range nodes {
		reach[peer.name] = []string{peer.address}
		if peer.id == on.id {
			continue
		}
		_, theirs := ends(on, peer)
		tunnels = append(tunnels, map[string]any{
			"name": m.device(on.name, peer.name), "peer": peer.name, "neighbor": protocol(peer.name), "address": theirs,
			"mtu": m.mtu, "as": peer.as, "networks": []string{sites[peer.site]}, "probe": hosts[peer.site],
		})
	}
	for site, network := range sites {
		if site != on.site {
			prefixes = append(prefixes, map[string]any{"network": network, "site": site})
		}
	}
	options := map[string]any{
		"tunnels": tunnels, "prefixes": prefixes, "source_networks": []string{sites[on.site]},
		"reach": reach, "probe": hosts[on.site],
		"control_socket": m.socket(on.name), "wait": wait, "expect": "any",
	}
	maps.Copy(options, change)
	return nettest.Ask(t, m.ns[on.name].Command(m.binary, "mesh_status"), options)
}

// green expects that every router finds nothing wrong.
func (m *mesh) green(t *testing.T, wait int) {
	t.Helper()
	for _, n := range nodes {
		res := m.status(t, n, wait, nil)
		require.Equal(t, true, res["healthy"], "%s: %v", n.name, res["problems"])
	}
}
