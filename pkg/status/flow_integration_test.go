//go:build integration

package status

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/filter"
	"github.com/wgmesh/router/pkg/plan"
)

// alone is the first router of a mesh, alone in its namespace: a device for each tunnel, and routes as BIRD
// makes them.
func alone(t *testing.T, sites, routers, networks int) *Request {
	nettest.Alone(t)
	r := &Request{}
	links := []string{"link add eth0 type bridge", "addr add 10.0.0.1/24 dev eth0", "link set eth0 up"}
	for site := range sites {
		var list []netip.Prefix
		for n := range networks {
			list = append(list, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", site, n)))
		}
		first, as := fmt.Sprintf("wm%d-0", site), plan.AS(65000+site)
		if site == 0 {
			r.SourceNetworks, first = list, "eth0"
		}
		for i := range routers {
			if site+i == 0 {
				continue // it
			}
			name := fmt.Sprintf("wm%d-%d", site, i)
			links = append(links, "link add "+name+" type bridge", "link set "+name+" up")
			r.Tunnels = append(r.Tunnels, plan.StatusTunnel{Name: name, Peer: name, Networks: list, AS: as})
		}
		for _, n := range list {
			links = append(links, fmt.Sprintf("route add %s dev %s proto bird metric 32", n, first))
			if site > 0 {
				p := plan.StatusPrefix{Network: n, Site: fmt.Sprint(site), AS: as, Transit: []plan.AS{}}
				r.Prefixes = append(r.Prefixes, p)
			}
		}
	}
	nettest.Sh(t, `printf '%s' | ip -batch -; cd /proc/sys/net/ipv4; echo 1 > ip_forward
		for i in conf/*; do echo 0 > $i/rp_filter; done`, strings.Join(links, `\n`))
	return r
}

// A hundred routers of 20 sites with 30 networks each: what differs in nothing is not asked for again.
func TestFlowsOfManyNetworks(t *testing.T) {
	r := alone(t, 20, 5, 30)
	f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
	f.follow(r, must.Get(ownAddresses())(t), plenty)
	assert.LessOrEqual(t, len(f.flows), 15_000)
	assert.LessOrEqual(t, len(f.spare), 4_000)
	assert.Empty(t, checkForwarding(r, &Observation{Forwarding: f, Tunnels: make([]TunnelState, len(r.Tunnels))}))
	type pair struct {
		in   string
		n    netip.Prefix
		from bool
	}
	asked := map[pair]bool{}
	for _, x := range f.flows {
		asked[pair{x.In, x.from, true}], asked[pair{x.In, x.network, false}] = true, true
	}
	for _, tunnel := range r.Tunnels {
		for _, n := range r.SourceNetworks {
			assert.True(t, asked[pair{tunnel.Name, n, false}], "to %s by %s", n, tunnel.Name)
			sibling := strings.HasPrefix(tunnel.Name, "wm0")
			assert.Equal(t, sibling, asked[pair{tunnel.Name, n, true}], "from %s by %s", n, tunnel.Name)
		}
		for _, n := range tunnel.Networks {
			assert.True(t, asked[pair{tunnel.Name, n, true}] || strings.HasPrefix(tunnel.Name, "wm0"), "from %s", n)
		}
	}
	for _, p := range r.Prefixes {
		assert.True(t, asked[pair{"eth0", p.Network, false}] && asked[pair{"", p.Network, false}], "to %s", p.Network)
	}
}

// A tunnel without an interface, as to a router that was removed, is said of the tunnel. Nothing comes by it.
func TestFlowsWithoutInterface(t *testing.T) {
	r := alone(t, 3, 2, 1)
	nettest.Sh(t, "ip link del wm0-1; ip link del wm1-1")
	f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
	f.follow(r, must.Get(ownAddresses())(t), plenty)
	assert.Empty(t, checkForwarding(r, &Observation{Forwarding: f, Tunnels: make([]TunnelState, len(r.Tunnels))}))
}

// A network of the host's own that the user has accepted is not a cause, whatever a filter says of it. A route
// that somebody made is one.
func TestAcceptedNetwork(t *testing.T) {
	const docker = "ip addr add 10.1.0.129/25 dev docker0"
	says := func(way, proto string) string {
		return "route 10.1.0.128/25 dev docker0 (proto " + proto + ") takes " + way +
			"10.1.0.128/25 of 1 away, expected a tunnel"
	}
	const drops = "iptables: -A FORWARD -o docker0 -j DROP drops icmp between sites"
	for name, tt := range map[string]struct {
		accept, make  string
		found, warned []string
	}{
		"accepted": {"networks", docker, nil, []string{
			"docker0 takes 10.1.0.128/25 of 1, as accepted: give one of them others, if anything " +
				"there is to be reached",
		}},
		"not accepted": {
			"ports", docker, []string{says("", "kernel"), says("its own packets for ", "kernel"), drops}, nil,
		},
		"a route": {
			"networks", "ip route add 10.1.0.128/25 dev docker0 proto static",
			[]string{says("", "static"), says("its own packets for ", "static"), drops},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := alone(t, 2, 1, 1)
			r.Accept = []string{tt.accept}
			nettest.Sh(t, "ip link add docker0 type bridge; ip link set docker0 up; %s", tt.make)
			f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
			f.filters, _ = filter.ParseIPTables(
				[]byte("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -o docker0 -j DROP\n"), false)
			f.follow(r, must.Get(ownAddresses())(t), plenty)
			rep := Judge(*r, Observation{Forwarding: f, Tunnels: make([]TunnelState, len(r.Tunnels))})
			var found, warned []string
			for _, p := range rep.Problems {
				if strings.Contains(p.Cause.Found, "docker0") {
					found = append(found, p.Cause.Found)
				}
			}
			for _, w := range rep.Warnings {
				warned = append(warned, w.String())
			}
			assert.Equal(t, [][]string{tt.found, tt.warned}, [][]string{found, warned})
		})
	}
}

// An address of another site on this host swallows what is for it. One of its own site may float.
func TestSwallowed(t *testing.T) {
	const said = " for addresses of its own (local "
	for _, tt := range []struct{ make, accept, found string }{
		{"addr add 10.1.0.100/32 dev lo", "", "it takes 10.1.0.100/32 of 1" + said + "10.1.0.100/32)"},
		{"addr add 10.1.0.100/32 dev eth0", "", "it takes 10.1.0.100/32 of 1" + said + "10.1.0.100/32)"},
		{"route add local 10.1.0.64/26 dev lo", "", "it takes 10.1.0.64/26 of 1" + said + "10.1.0.64/26)"},
		{"route add local 10.1.0.0/24 dev lo", "networks", "it takes 10.1.0.0/24 of 1" + said + "10.1.0.0/24)"},
		{"addr add 10.1.0.100/32 dev lo", "networks", ""},
		{"addr add 10.0.0.100/32 dev lo", "", ""},
		{"addr add 10.9.0.100/32 dev lo", "", ""},
	} {
		r := alone(t, 2, 1, 1)
		r.Accept = []string{tt.accept}
		nettest.Sh(t, "ip %s", tt.make)
		f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
		f.follow(r, must.Get(ownAddresses())(t), plenty)
		var found []string
		for _, p := range Judge(*r, Observation{Forwarding: f, Tunnels: make([]TunnelState, 1)}).Problems {
			if strings.Contains(p.Cause.Found, "it takes ") {
				found = append(found, p.Cause.Found)
			}
		}
		assert.Equal(t, tt.found, strings.Join(found, "\n"), tt.make)
	}
}

// A rule may take some packets away by their protocol, port or class, of which the kernel is not asked.
func TestRulesBesides(t *testing.T) {
	r := alone(t, 2, 1, 1)
	nettest.Sh(t, "ip route add default dev eth0 table 100; ip route add 10.1.0.0/24 dev wm1-0 table 101; "+
		"ip route add 10.8.0.0/24 dev eth0 table 102; ip route add 10.0.0.0/24 dev wm1-0 table 103")
	for rule, said := range map[string]string{
		"ipproto 6 dport 443 lookup 100 pref 500": "rule 500 (from all ipproto 6 dport 443 lookup 100) " +
			"sends some of what is for other sites out of eth0",
		"iif eth0 sport 53-60 lookup 100 pref 500": "rule 500 (from all iif eth0 sport 53-60 lookup 100) " +
			"sends some of what is for other sites out of eth0",
		"tos 0x10 prohibit pref 500": "rule 500 (from all tos 0x10 prohibit) drops some of what is for its site" +
			"\nrule 500 (from all tos 0x10 prohibit) drops some of what is for other sites",
		"ipproto 17 lookup 103 pref 500": "rule 500 (from all ipproto 17 lookup 103) " +
			"sends some of what is for its site out of wm1-0",
		"ipproto 6 lookup 101 pref 500":                "", // into the tunnel
		"ipproto 6 lookup 102 pref 500":                "", // it has no way there
		"ipproto 6 lookup main pref 500":               "",
		"to 10.8.0.0/24 ipproto 6 lookup 100 pref 500": "",
		"ipproto 6 lookup 100 pref 40000":              "", // main is before it
	} {
		nettest.Sh(t, "ip rule add %s", rule)
		f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
		f.follow(r, must.Get(ownAddresses())(t), plenty)
		var warned []string
		for _, c := range Judge(*r, Observation{Forwarding: f, Tunnels: make([]TunnelState, 1)}).Warnings {
			if assert.Equal(t, "remove it, or put one for table main before it", c.Do) {
				warned = append(warned, c.Found)
			}
		}
		assert.Equal(t, said, strings.Join(warned, "\n"), rule)
		nettest.Sh(t, "ip rule del %s", rule)
	}
}

// What the router itself sends to a peer's outside address in that one's site goes outside, and what it forwards
// there by the tunnel. Without the rule, or a default route, a tunnel's packets go into a tunnel, which is why there
// is no handshake.
func TestFlowsToAnEndpoint(t *testing.T) {
	r := alone(t, 2, 1, 1)
	r.Floor = 157
	o := &Observation{Tunnels: make([]TunnelState, 1)}
	o.Tunnels[0].Device.Peer = &Peer{Endpoint: netip.MustParseAddrPort("10.1.0.4:51820")}
	const silent = "no handshake yet, last endpoint 10.1.0.4:51820"
	for _, tt := range []struct{ make, found, silent string }{
		{
			"rule add iif lo lookup 157157 pref 32765; ip route add 10.1.0.4 dev eth0 proto bird table 157157",
			"", silent,
		},
		{ // the floor stands for what is said of the tunnel
			"route del 10.1.0.0/24; ip route add unreachable 10.1.0.0/24 proto 157 metric 4294967295",
			"", silent,
		},
		{
			"route add 10.1.0.0/24 dev wm1-0 proto bird; ip rule del pref 32765",
			"", "the packets of its tunnel to 10.1.0.4 go inside (10.1.0.0/24 dev wm1-0)",
		},
		{
			"route add 10.1.0.4 dev eth0 proto bird", // as releases before had it
			"route 10.1.0.4/32 dev eth0 (proto bird) takes 10.1.0.4/32 of 1 away, expected a tunnel", silent,
		},
	} {
		nettest.Sh(t, "ip %s", tt.make)
		f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
		f.follow(r, must.Get(ownAddresses())(t), plenty)
		found := ""
		o.Forwarding = f
		for _, p := range checkForwarding(r, o) {
			found += p.Cause.Found
		}
		assert.Equal(t, tt.found, found, tt.make)
		var rep Report
		checkTunnels(r, o, false, &rep)
		require.Len(t, rep.Problems, 1)
		assert.Equal(t, tt.silent, rep.Problems[0].seen().Found, tt.make)
	}
}

// The site's other router sends what it has lost its own way for here, and nothing for which this one's way is it.
func TestFlowsOfTheSitesOtherRouter(t *testing.T) {
	r := alone(t, 3, 2, 1)
	nettest.Sh(t, "ip route change 10.2.0.0/24 dev wm0-1 proto bird metric 32")
	for out, sent := range map[string]bool{"wm1-0": true, "wm0-1": false} {
		f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
		f.filters, _ = filter.ParseIPTables(
			[]byte("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -i wm0-1 -o "+out+" -j DROP\n"), false)
		f.follow(r, must.Get(ownAddresses())(t), plenty)
		found := checkForwarding(r, &Observation{Forwarding: f, Tunnels: make([]TunnelState, len(r.Tunnels))})
		assert.Equal(t, sent, len(found) > 0, "%s: %v", out, found)
	}
}

// What comes only when something is lost is a warning. Between sites that have no tunnel it comes as things are.
func TestFlowsOfWhatIsLost(t *testing.T) {
	const (
		wrong  = "drops icmp between sites"
		lost   = "drops what other sites that lose each other send by here"
		detour = "drops what takes another tunnel when a way is lost"
		closed = ":FORWARD DROP [0:0]"
	)
	needed := func(r *Request) {
		r.Prefixes[0].Transit, r.Prefixes[1].Transit = []plan.AS{65002}, []plan.AS{65001}
	}
	without := func(r *Request) { r.Prefixes[0].Transit, r.Prefixes[1].Transit = nil, nil }
	for name, tt := range map[string]struct {
		sites, routers int
		is             func(*Request)
		saved          string
		found, warned  string
	}{
		"spare":                    {3, 2, nil, "-A FORWARD -i wm1-0 -o wm2-0 -j DROP", "", lost},
		"by the site's other one":  {3, 2, nil, "-A FORWARD -i wm0-1 -s 10.1.0.0/24 -o wm2+ -j DROP", "", lost},
		"of one direction":         {3, 2, nil, "-A FORWARD -i wm2-1 -s 10.2.0.0/24 -o wm1+ -j DROP", "", lost},
		"of one site":              {3, 2, nil, "-A FORWARD -s 10.1.0.0/16 -o wm2+ -j DROP", "", lost},
		"out of the second tunnel": {3, 2, nil, "-A FORWARD -i wm1-0 -o wm2-1 -j DROP", "", lost},
		"out to the other router": {
			3, 2, nil, "-A FORWARD -s 10.1.0.0/24 -d 10.2.0.0/24 -o wm0-1 -j DROP", "", lost,
		},
		"second, no transit":     {3, 2, without, "-A FORWARD -i wm1-0 -o wm2-1 -j DROP", "", ""},
		"needed":                 {3, 2, needed, "-A FORWARD -i wm1-0 -o wm2-0 -j DROP", wrong, ""},
		"no transit":             {3, 2, without, "-A FORWARD -i wm1-0 -o wm2-0 -j DROP", "", ""},
		"two sites":              {2, 2, nil, "-A FORWARD -i wm1+ -o wm1+ -j DROP", "", ""},
		"no own interface":       {3, 2, nil, "-A FORWARD -i wm1-0 -o wm0-1 -j DROP", "", detour},
		"no own tunnels":         {3, 2, nil, "-A FORWARD -i eth0 -o wm0-1 -j DROP", "", detour},
		"another tunnel":         {3, 2, nil, "-A FORWARD -i eth0 -o wm1-1 -j DROP", "", detour},
		"both":                   {3, 2, nil, "-A FORWARD -i wm1+ -o wm+ -j DROP", "", detour},
		"into the own site":      {3, 2, nil, "-A FORWARD -i wm0-1 -s 10.2.0.0/24 -o eth0 -j DROP", wrong, ""},
		"everything":             {3, 2, nil, closed, wrong, ""},
		"everything, and needed": {3, 2, needed, closed, wrong, ""},
		"all but the own site's": {
			3, 1, nil, closed + "\n-A FORWARD -i eth0 -j ACCEPT\n-A FORWARD -o eth0 -j ACCEPT", "", lost,
		},
		"rewritten": {
			3, 1, nil, "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.1.0.0/16 -o wm2+ -j MASQUERADE",
			"", strings.Replace(lost, "drop", "rewrite", 1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := alone(t, tt.sites, tt.routers, 1)
			if tt.is != nil {
				tt.is(r)
			}
			f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
			f.filters, _ = filter.ParseIPTables([]byte("*filter\n:FORWARD ACCEPT [0:0]\n"+tt.saved+"\n"), false)
			f.follow(r, must.Get(ownAddresses())(t), plenty)
			var found, warned []string
			for _, p := range checkForwarding(r, &Observation{
				Forwarding: f, Tunnels: make([]TunnelState, len(r.Tunnels)),
			}) {
				found = append(found, p.Cause.Found)
			}
			for _, c := range f.warnings() {
				warned = append(warned, c.Found)
			}
			one := func(want string, got []string) {
				if want == "" {
					assert.Empty(t, got)
				} else if assert.Len(t, got, 1) {
					assert.True(t, strings.HasSuffix(got[0], " "+want), got)
				}
			}
			one(tt.found, found)
			one(tt.warned, warned)
		})
	}
}

// A real table that lets the site's hosts through, and nothing from tunnel to tunnel.
func TestTransitOfNftables(t *testing.T) {
	r := alone(t, 3, 1, 1)
	nettest.Sh(t, "nft 'add table inet f; add chain inet f c { type filter hook forward priority 0; policy drop; }; "+
		"add rule inet f c iifname eth0 accept; add rule inet f c oifname eth0 accept'")
	f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
	f.filters = must.Get(filter.ParseNFT([]byte(nettest.Run(t, "nft", "-j", "list", "ruleset")),
		[]byte(nettest.Run(t, "nft", "-a", "list", "ruleset")), filter.Ruleset{}))(t)
	f.follow(r, must.Get(ownAddresses())(t), plenty)
	rep := Judge(*r, Observation{Forwarding: f, Tunnels: make([]TunnelState, len(r.Tunnels))})
	dropped := cause.Cause{
		Found: "nft inet f c: policy drop drops what other sites that lose each other send by here",
		Do:    "admit it, or set transit of its site to false",
	}
	assert.Equal(t, []cause.Cause{dropped}, rep.Warnings)
	assert.Equal(t, []*Transit{
		{"wm1-0", r.Tunnels[1].Networks, dropped}, {"wm2-0", r.Tunnels[0].Networks, dropped},
	}, rep.Transit)
	for _, p := range rep.Problems {
		assert.NotContains(t, p.Cause.Found, "nft inet f")
	}
}

// What rules, routes and filters do to some pairs of networks alone is found by fewer questions, too, and is said
// of the same packet.
func TestFewerFlowsTellTheSame(t *testing.T) {
	const forward = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD "
	r := alone(t, 4, 2, 6)
	addresses := must.Get(ownAddresses())(t)
	for i, tt := range []struct{ make, cure, saved string }{
		{}, // nothing is wrong
		{"rule add from 10.2.1.0/24 to 10.0.2.0/24 prohibit pref 96", "rule del pref 96", ""},
		{
			"rule add from 10.0.3.128/25 to 10.2.3.128/25 lookup 9 pref 96; ip route add 10.2.3.0/24 dev eth0 table 9",
			"rule del pref 96; ip route flush table 9", "",
		},
		{
			"rule add from 10.3.2.0/24 lookup 9 pref 96; ip route add unreachable 10.0.3.0/24 table 9",
			"rule del pref 96; ip route flush table 9", "",
		},
		{
			"rule add iif eth0 lookup 9 pref 96; ip route add 10.1.3.0/24 dev lo table 9",
			"rule del pref 96; ip route flush table 9", "",
		},
		{"route add blackhole 10.0.3.0/25", "route del blackhole 10.0.3.0/25", ""},
		{
			"route add unreachable 10.2.3.0/25; ip route add 10.3.1.0/25 dev eth0",
			"route del unreachable 10.2.3.0/25; ip route del 10.3.1.0/25", "",
		},
		{
			"route add 10.0.2.0/24 dev wm1-0 metric 5", "route del 10.0.2.0/24 metric 5", "",
		},
		{
			"route change 10.2.2.0/24 proto bird metric 32 nexthop dev wm2-0 nexthop dev eth0 weight 20",
			"route change 10.2.2.0/24 dev wm2-0 proto bird metric 32", "",
		},
		{"link; sysctl -qw net.ipv4.conf.all.rp_filter=1", "link; sysctl -qw net.ipv4.conf.all.rp_filter=0", ""},
		{
			"route add 10.3.2.0/25 dev wm1-0; ip route add 10.3.2.128/25 dev wm1-0; " +
				"sysctl -qw net.ipv4.conf.wm3-0.rp_filter=1",
			"route del 10.3.2.0/25; ip route del 10.3.2.128/25; sysctl -qw net.ipv4.conf.wm3-0.rp_filter=0", "",
		},
		{ // the way back alone, and for one pair
			"rule add iif eth0 to 10.2.1.0/24 from 10.0.1.0/24 lookup 9 pref 96; " +
				"ip route add 10.2.0.0/16 dev wm1-0 table 9; sysctl -qw net.ipv4.conf.wm2-0.rp_filter=1",
			"rule del pref 96; ip route flush table 9; sysctl -qw net.ipv4.conf.wm2-0.rp_filter=0", "",
		},
		{ // and for what leaves by one device
			"link add eth1 type bridge; ip link set eth1 up; ip route add 10.0.3.0/24 dev eth1 metric 5; " +
				"ip rule add iif eth1 lookup 9 pref 96; ip route add 10.2.1.0/24 dev wm1-0 table 9; " +
				"sysctl -qw net.ipv4.conf.wm2-0.rp_filter=1",
			"link del eth1; ip rule del pref 96; ip route flush table 9; sysctl -qw net.ipv4.conf.wm2-0.rp_filter=0",
			"*filter\n",
		},
		{ // what drops to the first network hides the other fault there
			"rule add iif wm3-0 lookup 9 pref 96; ip route add unreachable 10.0.0.0/24 table 9; " +
				"ip route add 10.3.2.0/25 dev wm1-0; ip route add 10.3.2.128/25 dev wm1-0; " +
				"sysctl -qw net.ipv4.conf.wm3-0.rp_filter=1",
			"rule del pref 96; ip route flush table 9; ip route del 10.3.2.0/25; ip route del 10.3.2.128/25; " +
				"sysctl -qw net.ipv4.conf.wm3-0.rp_filter=0",
			"",
		},
		{"link; sysctl -qw net.ipv4.ip_forward=0", "link; sysctl -qw net.ipv4.ip_forward=1", ""},
		{"xfrm policy add src 10.0.1.0/24 dst 10.3.2.0/24 dir out action block", "xfrm policy flush", ""},
		{saved: forward + "-s 10.1.2.0/24 -d 10.0.1.0/24 -j DROP\n"},
		{saved: forward + "-s 10.1.2.64/26 -d 10.0.1.0/24 -j DROP\n"},
		{
			"route add 10.3.2.0/25 dev wm1-0; ip route add 10.3.2.128/25 dev wm1-0",
			"route del 10.3.2.0/25; ip route del 10.3.2.128/25",
			"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i wm3-0 -d 10.0.3.0/24 -m rpfilter --invert -j DROP\n",
		},
		{
			saved: "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.0.2.0/24 ! -d 10.2.0.0/15 -o wm+ " +
				"-j MASQUERADE\n",
		},
		{
			"link; nft 'add table ip f; add chain ip f c { type filter hook forward priority 0; }; " +
				"add rule ip f c ip saddr . ip daddr { 10.3.1.0/24 . 10.0.3.0/24 } drop'",
			"link; nft delete table ip f", "",
		},
		{
			"link; nft 'add table ip f; add set ip f s { type ipv4_addr; flags interval; elements = { " +
				"10.0.1.0-10.0.2.127 }; }; add chain ip f c { type filter hook forward priority 0; }; " +
				"add rule ip f c ip daddr 10.1.0.0/16 ip saddr @s reject'",
			"link; nft delete table ip f", "",
		},
		{
			"link; nft 'add table ip f; add chain ip f c { type filter hook forward priority 0; policy drop; }; " +
				"add rule ip f c ip daddr vmap { 10.0.0.0/23 : accept, 10.0.3.0/24 : " +
				"accept, 10.1.0.0-10.3.255.255 : accept }'",
			"link; nft delete table ip f", "",
		},
	} {
		nettest.Sh(t, "ip %s", cmp.Or(tt.make, "link"))
		var told [2][]string
		var flows [2]int
		for i, plenty := range []int{0, 1 << 30} {
			saved, _ := filter.ParseIPTables([]byte(tt.saved), false)
			f := Forwarding{tables: must.Get(fib.Read(context.Background(), true, false))(t)}
			f.filters = must.Get(filter.ParseNFT([]byte(nettest.Run(t, "nft", "-j", "list", "ruleset")),
				[]byte(nettest.Run(t, "nft", "-a", "list", "ruleset")), filter.Ruleset{}))(t)
			if tt.saved != "" {
				f.filters = saved
			}
			f.follow(r, addresses, plenty)
			flows[i] = len(f.flows)
			o := &Observation{Forwarding: f, Tunnels: make([]TunnelState, len(r.Tunnels))}
			for _, p := range checkForwarding(r, o) {
				told[i] = append(told[i], p.Text(), p.Cause.String())
			}
			for _, c := range f.warnings() {
				told[i] = append(told[i], c.String())
			}
		}
		assert.Equal(t, told[1], told[0])
		assert.Equal(t, i == 0, told[0] == nil, "%s%s", tt.make, tt.saved)
		assert.Less(t, flows[0], flows[1], "%s%s", tt.make, tt.saved)
		nettest.Sh(t, "ip %s", cmp.Or(tt.cure, "link"))
	}
}

// What tc has on an interface, and on no other one, is told by its kind.
func TestProgramsOfDevices(t *testing.T) {
	alone(t, 2, 2, 1)
	nettest.Sh(t, `tc qdisc add dev eth0 clsact
		tc filter add dev eth0 egress protocol ip u32 match ip src 10.0.0.0/16 flowid 1:1`)
	assert.Equal(t, []string{"a tc filter (u32) at egress of eth0"}, must.Get(fib.Programs("eth0"))(t))
	assert.Empty(t, must.Get(fib.Programs("wm1-1"))(t))
	assert.Empty(t, must.Get(fib.Programs("no-such-device"))(t))
}

// The kernel shows IPsec's policies to root only. That they cannot be read does not say that there are none.
func TestWhatCannotBeRead(t *testing.T) {
	r := alone(t, 2, 2, 1)
	_, _, code := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 0) // of this thread alone
	require.Zero(t, code)
	f := observeForwarding(t.Context(), r)
	_, _, code = unix.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0)
	require.Zero(t, code)
	f.filters.Unread = nil
	said := f.checkFilters(r, &Observation{Tunnels: make([]TunnelState, len(r.Tunnels))})
	require.Len(t, said, 1)
	assert.Equal(t, "what IPsec, XDP, tc or a sysctl does to packets cannot be read (IPsec: operation not permitted): "+
		"run it again, as root", said[0].Cause.String())
}
