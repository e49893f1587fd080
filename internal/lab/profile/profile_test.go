package profile_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/lab/profile"
	"github.com/wgmesh/router/internal/must"
)

// parse reads lab_host as it comes out of `ansible-inventory --list`.
func parse(t *testing.T, text string) (profile.Profile, error) {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal([]byte(text), &v))
	d := json.NewDecoder(strings.NewReader(string(must.Get(json.Marshal(v))(t))))
	d.UseNumber()
	require.NoError(t, d.Decode(&v))
	return profile.Parse(v)
}

func TestParse(t *testing.T) {
	for text, want := range map[string]profile.Profile{
		"null":         {},
		"metric":       {Metric: 100},
		"ec2-two-nics": {Metric: 100, NICs: 2, PolicyRules: true},
		"{profile: ec2-two-nics, metric: 512, ipv6: off}": {
			Metric: 512, NICs: 2, PolicyRules: true, NoIPv6: true,
		},
		"[sudo-tty, docker-rules-open]": {
			Login: "admin", Sudo: "requiretty", Forward: "docker", ForwardOpen: true,
		},
		"{profile: [flannel], wireguard: {wg-road: {port: 51999, quick: yes}}}": {WireGuard: []profile.Tunnel{
			{Name: "flannel-wg", Port: 51820}, {Name: "wg-road", Port: 51999, Quick: true},
		}},
		"{profile: flannel, wireguard: {flannel-wg: 51821}}": {
			WireGuard: []profile.Tunnel{{Name: "flannel-wg", Port: 51821}},
		},
		"{ip: rule add pref 7 lookup 7}": {IP: []string{"rule add pref 7 lookup 7"}},
		"{forward_ports: 51800-51899}": {
			Forwarded: profile.Ports{First: 51800, Last: 51899, To: 51800},
		},
		"{forward_ports: '52800-52899:51800'}": {
			Forwarded: profile.Ports{First: 52800, Last: 52899, To: 51800},
		},
		"{bgp: bird, bgp_port: 1179}":                   {BGP: "bird", BGPPort: 1179},
		"{sysctl: {net.ipv4.conf.eth0/1.rp_filter: 1}}": {},
		"{sysctl: {net.ipv4.ip_forward: 0}, sysctl_file: zz.conf}": {
			Sysctl: map[string]string{"net.ipv4.ip_forward": "0"}, SysctlFile: "zz.conf",
		},
	} {
		got, err := parse(t, text)
		if strings.Contains(text, "eth0/1") {
			assert.ErrorContains(t, err, "want a key below net")
			continue
		}
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
}

func TestParseEveryName(t *testing.T) {
	for _, name := range profile.Names() {
		assert.NotEqual(t, profile.Profile{}, must.Get(parse(t, name))(t, name), name)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"ec2":              "lab_host: ec2 is not a profile; internal",
		"3":                "lab_host: 3 is not a profile",
		"[metric, [sudo]]": "lab_host: [sudo] is not a profile",
		"{profile: moon}":  "lab_host: moon is not a profile",
		"{metrics: 100}":   "lab_host.metrics: no such key; internal/lab/README.md has them",
		"{metric: 0}":      "lab_host.metric: 0: want a number from 1 to 2147483647",
		"{metric: many}":   "lab_host.metric: many: want a number",
		"{nics: 3}":        "lab_host.nics: 3: want a number from 1 to 2",
		"{ipv6: maybe}":    "lab_host.ipv6: maybe: want true or false",
		"{forward: firewalld}": "lab_host.forward: firewalld: " +
			"want one of docker, ufw, docker-package, ufw-package",
		"[tailscale, dhcp-netplan]":     "lab_host.ip: networkd removes",
		"{client: ifupdown, metric: 9}": "lab_host.metric: ifupdown gives",
		"{suite: sid}":                  "lab_host.suite: sid: want one of bookworm, trixie,",
		"{packages: [A]}":               "lab_host.packages: A: want the name of a package",
		"{forward_ports: 51800}":        "lab_host.forward_ports: 51800: want at most 512 ports",
		"{forward_ports: '2-1'}":        "lab_host.forward_ports: 2-1: want",
		"{forward_ports: '1-2:65535'}":  "lab_host.forward_ports: 1-2:65535: want",
		"{forward_open: true}":          "lab_host.forward_open: wants forward",
		"{dhcp: true}":                  "lab_host.dhcp: wants a client that asks: networkd, ",
		"{bgp_port: 180}":               "lab_host.bgp_port: wants bgp",
		"{sudo: password}":              "lab_host.sudo: wants login",
		"{login: root}":                 "lab_host.login: root needs no sudo",
		"{login: 'a b'}":                "lab_host.login: a b: want a name",
		"{sysctl: {kernel.panic: 1}}":   "lab_host.sysctl: kernel.panic: want a key below net",
		"{sysctl: 3}":                   "lab_host.sysctl: 3: want keys and values",
		"{sysctl_file: a.conf}":         "lab_host.sysctl_file: wants sysctl",
		"{ip: [flush]}":                 "lab_host.ip: flush: want a line for ip(8)",
		"{wireguard: 51820}":            "lab_host.wireguard: 51820: want interfaces and their ports",
		"{wireguard: {a: 0}}":           "lab_host.wireguard: a: 0: want an interface",
		"{wireguard: {a: {prt: 1}}}":    "lab_host.wireguard: a.prt: no such key",
		"{wireguard: {a: 1, b: 1}}":     "lab_host.wireguard: a and b both want port 1",
		"{wireguard: {a/b: 1}}":         "lab_host.wireguard: a/b: 1: want an interface",
		"{metric: 0, nics: 0, bgp: x}": "lab_host.bgp: x: want one of bird, frr\n" +
			"lab_host.metric: 0: want a number from 1 to 2147483647\nlab_host.nics: 0",
	} {
		_, err := parse(t, text)
		require.Error(t, err, text)
		assert.Contains(t, err.Error(), want, text)
	}
}

// Two NICs as on EC2 and one as on GCP.
var (
	twoCards = []profile.Card{
		card("eth0", "10.1.1.10/24", "2001:db8::10/64", 100, 101),
		card("eth1", "10.1.1.11/24", "2001:db8::11/64", 200, 102),
	}
	onlink = []profile.Card{{
		Name: "eth0", MAC: "02:00:00:00:00:03", Onlink: true, Metric: 100,
		Addresses: must.Prefixes("10.2.1.10/32"),
		Gateways:  []netip.Addr{netip.MustParseAddr("10.2.1.1")},
	}}
)

func card(name, four, six string, metric, table int) profile.Card {
	return profile.Card{
		Name: name, MAC: "02:00:00:00:00:0" + name[3:], Metric: metric, Table: table,
		Addresses: []netip.Prefix{netip.MustParsePrefix(four), netip.MustParsePrefix(six)},
		Gateways:  []netip.Addr{netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("2001:db8::1")},
	}
}

// The files are kept as one: -update writes it anew, and a person reads the
// difference. TestLab and `make distros` show that the programs take them.
func TestFiles(t *testing.T) {
	var b strings.Builder
	write := func(title, text string, cards []profile.Card) {
		p := must.Get(parse(t, text))(t, text)
		fmt.Fprintf(&b, "##### %s: %s\n", title, text)
		for _, f := range p.Files(cards, "fe80::1/64") {
			fmt.Fprintf(&b, "### %s %o %s\n%s", f.Path, f.Mode, f.Link, f.Text)
		}
	}
	for _, client := range profile.Clients {
		write("two NICs", "{client: "+client+", dhcp: true}", twoCards)
		write("written down", "{client: "+client+", ipv6: off}", onlink)
	}
	for _, name := range profile.Names() {
		if !strings.HasPrefix(name, "dhcp-") {
			write("profile", name, onlink)
		}
	}
	must.Golden(t, "testdata/files.golden", b.String())
}

func TestInstalled(t *testing.T) {
	for text, want := range map[string][2]string{
		"dhcp-networkd":                      {"", ""},
		"dhcp-ifupdown":                      {"ifupdown isc-dhcp-client", "ifupdown isc-dhcp-client"},
		"[flannel, ufw-rules, other-bgp]":    {"", "bird2 nftables wireguard-go wireguard-tools"},
		"{packages: [ufw], client: netplan}": {"netplan.io ufw", "netplan.io ufw"},
	} {
		p := must.Get(parse(t, text))(t, text)
		assert.Equal(t, want,
			[2]string{strings.Join(p.Installed(false), " "), strings.Join(p.Installed(true), " ")}, text)
	}
}
