package bird_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/bird"
)

func addrs(text ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range text {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func networks(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// What lies inside a subnet of the host gets no route, and no floor. What equals one
// needs no word: the metric is worse.
func TestResolveLocal(t *testing.T) {
	tests := map[string]struct {
		subnets []netip.Prefix // of eth0 and docker0
		theirs  []netip.Prefix
		local   []netip.Prefix
		refused []netip.Prefix
	}{
		"a subnet of the site":         {subnets: networks("10.3.1.0/24", "172.17.0.0/16"), theirs: networks("10.1.0.0/16"), refused: networks("10.1.0.0/16")},
		"the site's":                   {subnets: networks("10.3.0.0/16"), local: networks("10.3.1.0/24")},
		"a larger one":                 {subnets: networks("10.0.0.0/8"), theirs: networks("10.1.0.0/16"), local: networks("10.3.0.0/16", "10.3.1.0/24"), refused: networks("10.1.0.0/16")},
		"another site has docker0's":   {subnets: networks("172.17.0.0/16"), theirs: networks("172.17.0.0/16"), refused: networks("172.17.0.0/16")},
		"another site has a part":      {subnets: networks("172.17.0.0/16"), theirs: networks("172.17.5.0/24", "10.1.0.0/16"), local: networks("172.17.5.0/24"), refused: networks("10.1.0.0/16")},
		"another site has more":        {subnets: networks("172.17.0.0/16"), theirs: networks("172.16.0.0/12"), refused: networks("172.16.0.0/12")},
		"IPv6, a part":                 {subnets: networks("fd00:7::/64"), theirs: networks("fd00:7::/80"), local: networks("fd00:7::/80")},
		"a tunnel's own is not looked": {subnets: nil, theirs: networks("172.31.1.0/24"), refused: networks("172.31.1.0/24")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			site := networks("10.3.0.0/16", "10.3.1.0/24")
			c := bird.Config{
				AS: 65003, Unreachable: true, Networks: site[:1],
				Static:    []bird.Static{{Network: site[0], Via: netip.MustParseAddr("10.3.0.1")}, {Network: site[1], Via: netip.MustParseAddr("10.3.0.1")}},
				Owners:    []bird.Owner{{AS: 65003, Networks: site}, {AS: 65001, Networks: tt.theirs}},
				Neighbors: []bird.Neighbor{{Name: "p1", AS: 65001, Interface: "wg1"}},
			}
			host := bird.Network{Interfaces: []bird.Interface{{Name: "wg1", Subnets: networks("172.31.0.0/16")}}}
			for i, s := range tt.subnets {
				host.Interfaces = append(host.Interfaces, bird.Interface{Name: []string{"eth0", "docker0"}[i], Subnets: []netip.Prefix{s}})
			}
			got, _, _, err := bird.Resolve(c, host)
			require.NoError(t, err)
			assert.Equal(t, tt.local, got.Local)
			assert.Equal(t, tt.refused, got.Refused())
			text, err := bird.Render(got, bird.Sources{})
			require.NoError(t, err)
			assert.Equal(t, name != "IPv6, a part" && len(tt.local) > 0, strings.Contains(string(text), "then reject;"))
		})
	}
}

func TestResolve(t *testing.T) {
	site := []netip.Prefix{netip.MustParsePrefix("10.3.0.0/16"), netip.MustParsePrefix("fd00:3::/48")}
	onlink := bird.Static{Network: site[0], Via: netip.MustParseAddr("10.3.0.1"), OnLink: true}
	tests := map[string]struct {
		host      bird.Network
		neighbors []bird.Neighbor
		src       bird.Sources
		own       []netip.Addr
		iface     string
		err       string
	}{
		"address inside the site": {
			host: bird.Network{Interfaces: []bird.Interface{
				{Name: "eth0", Addresses: addrs("192.0.2.7")}, {Name: "eth1", Addresses: addrs("10.3.0.2", "fd00:3::2", "10.3.0.9")},
			}, Default4: "eth0"},
			src:   bird.Sources{IPv4: netip.MustParseAddr("10.3.0.2"), IPv6: netip.MustParseAddr("fd00:3::2")},
			own:   addrs("10.3.0.2", "fd00:3::2", "10.3.0.9"),
			iface: "eth1",
		},
		"only a default route": {
			host:  bird.Network{Interfaces: []bird.Interface{{Name: "eth0", Addresses: addrs("192.0.2.7")}}, Default4: "eth0"},
			iface: "eth0",
		},
		"a tunnel does not count": {
			host: bird.Network{Interfaces: []bird.Interface{
				{Name: "wg1", Addresses: addrs("10.3.9.1")}, {Name: "eth0", Addresses: addrs("10.3.0.2")},
			}},
			neighbors: []bird.Neighbor{{Interface: "wg1"}},
			src:       bird.Sources{IPv4: netip.MustParseAddr("10.3.0.2")},
			own:       addrs("10.3.0.2"),
			iface:     "eth0",
		},
		"nothing to go by": {err: "static[0] (10.3.0.0/16): onlink needs an interface"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := bird.Config{Networks: site, Static: []bird.Static{onlink}, Neighbors: tt.neighbors}
			got, src, own, err := bird.Resolve(c, tt.host)
			assert.Empty(t, c.Static[0].Interface, "the caller's configuration stays as it is")
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.src, src)
			assert.Equal(t, tt.own, own)
			assert.Equal(t, tt.iface, got.Static[0].Interface)
		})
	}
}
