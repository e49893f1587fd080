package profile_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/lab/profile"
	"github.com/wgmesh/router/internal/must"
)

// Two NICs as on EC2 and one as on GCP.
var (
	twoCards = []profile.Card{
		card("eth0", "10.1.1.10/24", "2001:db8::10/64", 100, 101),
		card("eth1", "10.1.1.11/24", "2001:db8::11/64", 200, 102),
	}
	onlink = []profile.Card{{
		Name: "eth0", MAC: "02:00:00:00:00:03", Onlink: true, Metric: 100,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.2.1.10/32")},
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
