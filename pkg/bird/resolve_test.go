package bird_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

func addrs(text ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range text {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

var networks = must.Prefixes

// What lies inside a subnet of the host gets no route, and no floor. What equals one
// needs no word: the metric is worse.
func TestResolveLocal(t *testing.T) {
	for name, tt := range map[string]struct {
		subnets []netip.Prefix // of eth0 and docker0
		theirs  []netip.Prefix
		carried []netip.Prefix
		local   []netip.Prefix
		refused []netip.Prefix
	}{
		"a subnet of the site": {
			subnets: networks("10.3.1.0/24", "172.17.0.0/16"),
			theirs:  networks("10.1.0.0/16"), refused: networks("10.1.0.0/16"),
		},
		"the site's": {subnets: networks("10.3.0.0/16"), local: networks("10.3.1.0/24")},
		"a larger one": {
			subnets: networks("10.0.0.0/8"), theirs: networks("10.1.0.0/16"),
			local: networks("10.3.0.0/16", "10.3.1.0/24"), refused: networks("10.1.0.0/16"),
		},
		"another site has docker0's": {
			subnets: networks("172.17.0.0/16"),
			theirs:  networks("172.17.0.0/16"), refused: networks("172.17.0.0/16"),
		},
		"another site has a part": {
			subnets: networks("172.17.0.0/16"), theirs: networks("172.17.5.0/24", "10.1.0.0/16"),
			local: networks("172.17.5.0/24"), refused: networks("10.1.0.0/16"),
		},
		"another site has more": {
			subnets: networks("172.17.0.0/16"),
			theirs:  networks("172.16.0.0/12"), refused: networks("172.16.0.0/12"),
		},
		"IPv6, a part": {
			subnets: networks("fd00:7::/64"), theirs: networks("fd00:7::/80"), local: networks("fd00:7::/80"),
		},
		"carried by others": {
			theirs:  networks("10.1.0.0/16"),
			carried: networks("10.9.0.0/16"), refused: networks("10.1.0.0/16", "10.9.0.0/16"),
		},
		"a tunnel's own is not looked": {
			subnets: nil, theirs: networks("172.31.1.0/24"), refused: networks("172.31.1.0/24"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			site := networks("10.3.0.0/16", "10.3.1.0/24")
			c := bird.Config{Unreachable: true, Bird: plan.Bird{
				AS: 65003, Networks: site[:1],
				Static: []plan.Static{
					{Network: site[0], Via: netip.MustParseAddr("10.3.0.1")},
					{Network: site[1], Via: netip.MustParseAddr("10.3.0.1")},
				},
				Owners: []plan.Owner{
					{AS: 65003, Networks: site},
					{AS: 65001, Networks: tt.theirs},
					{AS: 65009, Networks: tt.carried, Carried: true},
					{AS: 65010, Networks: networks("10.10.0.0/16")},
				},
				Neighbors: []plan.Neighbor{{Name: "p1", AS: 65001, Interface: "wg1"}},
			}}
			host := bird.Network{Interfaces: []bird.Interface{{Name: "wg1", Subnets: networks("172.31.0.0/16")}}}
			for i, s := range tt.subnets {
				host.Interfaces = append(host.Interfaces, bird.Interface{
					Name: []string{"eth0", "docker0"}[i], Subnets: []netip.Prefix{s},
				})
			}
			got, _, _, err := bird.Resolve(c, host)
			require.NoError(t, err)
			assert.Equal(t, tt.local, got.Local)
			assert.Equal(t, tt.refused, got.Refused())
			text := bird.Render(got, bird.Sources{})
			assert.Equal(t, name != "IPv6, a part" && len(tt.local) > 0, strings.Contains(string(text), "then reject;"))
		})
	}
}

func TestResolve(t *testing.T) {
	site := must.Prefixes("10.3.0.0/16", "fd00:3::/48")
	onlink := plan.Static{Network: site[0], Via: netip.MustParseAddr("10.3.0.1"), OnLink: true}
	for name, tt := range map[string]struct {
		host      bird.Network
		neighbors []plan.Neighbor
		src       bird.Sources
		own       []netip.Addr
		iface     string
		err       string
	}{
		"address inside the site": {
			host: bird.Network{Interfaces: []bird.Interface{
				{Name: "eth0", Addresses: addrs("192.0.2.7")},
				{Name: "eth1", Addresses: addrs("10.3.0.2", "fd00:3::2", "10.3.0.9")},
			}, Default4: "eth0"},
			src:   bird.Sources{IPv4: netip.MustParseAddr("10.3.0.2"), IPv6: netip.MustParseAddr("fd00:3::2")},
			own:   addrs("10.3.0.2", "fd00:3::2", "10.3.0.9"),
			iface: "eth1",
		},
		"loopback, which others may have too, comes last": {
			host: bird.Network{Interfaces: []bird.Interface{
				{Name: "lo", Addresses: addrs("10.3.9.9", "fd00:3::9"), Loopback: true},
				{Name: "eth0", Addresses: addrs("10.3.0.2")},
			}},
			src:   bird.Sources{IPv4: netip.MustParseAddr("10.3.0.2"), IPv6: netip.MustParseAddr("fd00:3::9")},
			own:   addrs("10.3.0.2", "10.3.9.9", "fd00:3::9"),
			iface: "eth0",
		},
		"only a default route": {
			host: bird.Network{
				Interfaces: []bird.Interface{{Name: "eth0", Addresses: addrs("192.0.2.7")}}, Default4: "eth0",
			},
			iface: "eth0",
		},
		"a tunnel does not count": {
			host: bird.Network{Interfaces: []bird.Interface{
				{Name: "wg1", Addresses: addrs("10.3.9.1")}, {Name: "eth0", Addresses: addrs("10.3.0.2")},
			}},
			neighbors: []plan.Neighbor{{Interface: "wg1"}},
			src:       bird.Sources{IPv4: netip.MustParseAddr("10.3.0.2")},
			own:       addrs("10.3.0.2"),
			iface:     "eth0",
		},
		"nothing to go by": {err: "static[0] (10.3.0.0/16): onlink needs an interface"},
	} {
		t.Run(name, func(t *testing.T) {
			c := bird.Config{Bird: plan.Bird{Networks: site, Static: []plan.Static{onlink}, Neighbors: tt.neighbors}}
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

// The way into the site, as hosts have it.
func TestResolveWay(t *testing.T) {
	ip := netip.MustParseAddr
	lan := func(name string, addresses ...string) bird.Interface {
		i := bird.Interface{Name: name}
		for _, a := range addresses {
			p := netip.MustParsePrefix(a)
			i.Addresses = append(i.Addresses, p.Addr())
			if !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() {
				i.Subnets = append(i.Subnets, p.Masked())
			}
		}
		return i
	}
	lo := func(addresses ...string) bird.Interface {
		i := lan("lo", addresses...)
		i.Loopback = true
		return i
	}
	derived := func(via string) plan.Static { return plan.Static{Via: ip(via), Derived: true} }
	said := func(via, iface string) plan.Static { return plan.Static{Via: ip(via), Interface: iface} }
	connected := plan.Static{Connected: true}
	net4, net6, zone2 := networks("10.0.0.0/16")[0], networks("fd00:1::/48")[0], networks("10.0.2.0/24")[0]
	at := func(n netip.Prefix, s plan.Static) plan.Static { s.Network = n; return s }
	onlink := func(s plan.Static) plan.Static { s.OnLink = true; return s }
	office := bird.Network{
		Interfaces: []bird.Interface{
			lo("127.0.0.1/8"), lan("eth0", "203.0.113.2/24"),
			lan("eth1", "10.0.1.1/24"), lan("eth2", "10.0.2.1/24"),
		}, Default4: "eth0", Gateway4: ip("203.0.113.1"),
	}
	inside := bird.Network{
		Interfaces: []bird.Interface{lan("eth0", "10.0.1.11/24")},
		Default4:   "eth0", Gateway4: ip("10.0.1.254"),
	}
	slash32 := bird.Network{
		Interfaces: []bird.Interface{lan("ens4", "10.0.1.11/32")},
		Default4:   "ens4", Gateway4: ip("10.0.1.254"),
	}
	aws := bird.Network{
		Interfaces: []bird.Interface{lan("eth0", "fe80::7/64", "fd00:1:0:10::4/128")}, Default6: "eth0",
		Gateway6: ip("fe80::1"),
	}
	elsewhere := bird.Network{Interfaces: []bird.Interface{
		lan("eth0", "2001:db8::2/64"),
		lan("eth1", "fd00:1:0:10::4/128"),
	}, Default6: "eth0", Gateway6: ip("fe80::1")}
	for name, tt := range map[string]struct {
		host  bird.Network
		given plan.Static
		want  string // "via%interface onlink", or an error
	}{
		"own address, derived":                      {office, at(net4, derived("10.0.1.1")), "%eth1"},
		"own address, said":                         {office, at(net4, said("10.0.1.1", "")), "%eth1"},
		"own address, said with its interface":      {office, at(net4, said("10.0.1.1", "eth1")), "%eth1"},
		"own address, onlink":                       {office, at(net4, onlink(said("10.0.1.1", ""))), "%eth1"},
		"own address, another zone on an interface": {office, at(zone2, derived("10.0.1.1")), "%eth2"},
		"own address on lo": {
			bird.Network{Interfaces: []bird.Interface{lo("10.0.1.1/32"), lan("eth0", "10.0.9.2/24")}},
			at(net4, said("10.0.1.1", "")),
			"static[0] (10.0.0.0/16): via 10.0.1.1 is this host's own, on lo: " +
				"give the gateway, or connected (gateway: none)",
		},
		"connected":                         {office, at(net4, connected), "%eth1"},
		"connected, a zone":                 {office, at(zone2, connected), "%eth2"},
		"connected, no address in the zone": {inside, at(zone2, connected), "%eth0"},
		"connected, with its interface": {
			office, at(net4, plan.Static{Connected: true, Interface: "eth2"}), "%eth2",
		},
		"connected nowhere": {
			aws, at(net4, connected),
			"static[0] (10.0.0.0/16): without a gateway it has to be on an interface of this host, " +
				"and none has an address in networks: give the gateway, or interface",
		},
		"derived and in the subnet":               {inside, at(net4, derived("10.0.1.1")), "10.0.1.1"},
		"derived and in no subnet":                {inside, at(net4, derived("10.0.0.1")), "10.0.1.254%eth0"},
		"said and in no subnet":                   {inside, at(net4, said("10.0.0.1", "")), "10.0.0.1"},
		"derived, the default route is elsewhere": {office, at(net4, derived("10.0.0.1")), "10.0.0.1"},
		"derived, a whole address":                {slash32, at(net4, derived("10.0.1.1")), "10.0.1.254%ens4 onlink"},
		"derived, GCP": {
			slash32, at(net4, onlink(derived("10.0.1.1"))), "10.0.1.1%ens4 onlink",
		},
		"AWS with IPv6":                        {aws, at(net6, derived("fd00:1::1")), "fe80::1%eth0"},
		"GCP with IPv6":                        {aws, at(net6, onlink(derived("fd00:1::1"))), "fe80::1%eth0"},
		"IPv6, said":                           {aws, at(net6, said("fe80::9", "eth0")), "fe80::9%eth0"},
		"IPv6, the default route is elsewhere": {elsewhere, at(net6, derived("fd00:1::1")), "fd00:1::1"},
		"outside": {
			aws, plan.Static{Network: networks("2001:db8:2::4/128")[0], Outside: true}, "",
		},
		"outside, by a gateway that BIRD would not learn": {
			slash32, plan.Static{Network: networks("192.0.2.4/32")[0], Outside: true}, "10.0.1.254%ens4 onlink",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := bird.Config{Bird: plan.Bird{Networks: []netip.Prefix{net4, net6}, Static: []plan.Static{tt.given}}}
			got, _, _, err := bird.Resolve(c, tt.host)
			if err != nil {
				assert.Equal(t, tt.want, err.Error())
				assert.LessOrEqual(t, len(err.Error()), 160)
				return
			}
			s := got.Static[0]
			have := ""
			if s.Via.IsValid() {
				have = s.Via.String()
			}
			if s.Interface != "" {
				have += "%" + s.Interface
			}
			if s.OnLink {
				have += " onlink"
			}
			assert.Equal(t, tt.want, have)
		})
	}
}

// An end outside of all sites needs a route of ours only for the source, where the host's default route
// leads there. In a site it needs one in any case.
func TestResolveSource(t *testing.T) {
	mine, end := netip.MustParseAddr("fd00:1:0:10::4"), networks("2001:db8:9::4/128")[0]
	host := bird.Network{
		Interfaces: []bird.Interface{{Name: "eth0", Addresses: []netip.Addr{mine}}},
		Routes:     networks("2001:db8:7::/64"),
	}
	another := host
	another.Interfaces = nil
	direct := host
	direct.Routes = networks("2001:db8:9::/64")
	for name, tt := range map[string]struct {
		host            bird.Network
		outside, inside []netip.Addr // the sources of its routes, when the end is outside and inside of a site
	}{
		"by the default route": {host, []netip.Addr{mine}, []netip.Addr{mine}},
		"without that address": {another, nil, []netip.Addr{{}}},
		"by another route":     {direct, nil, []netip.Addr{mine}},
	} {
		for owned, want := range map[string][]netip.Addr{"2001:db8:6::/48": tt.outside, "2001:db8:9::/48": tt.inside} {
			c := bird.Config{Bird: plan.Bird{
				Static: []plan.Static{{Network: end, Outside: true, Source: mine}},
				Owners: []plan.Owner{{AS: 2, Networks: networks(owned)}},
			}}
			got, _, _, err := bird.Resolve(c, tt.host)
			require.NoError(t, err)
			var have []netip.Addr
			for _, s := range got.Static {
				have = append(have, s.Source)
			}
			assert.Equal(t, want, have, "%s, %s", name, owned)
		}
	}
}
