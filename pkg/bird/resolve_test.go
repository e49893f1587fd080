package bird_test

import (
	"net/netip"
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
