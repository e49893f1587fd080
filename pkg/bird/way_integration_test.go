//go:build integration

package bird_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

// twoSites are p1, whose host is made by commands of ip, and q1.
func twoSites(t *testing.T, site, theirs []netip.Prefix, static []plan.Static,
	host ...string,
) (l *lab, p1, q1 *router) {
	t.Helper()
	l = newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	p1, q1 = l.byName["p1"], l.byName["q1"]
	p1.IP(t, "addr", "flush", "dev", "site0")
	for _, text := range host {
		p1.IP(t, strings.Fields(text)...)
	}
	p1.config.Networks, p1.config.Static, p1.config.Originate = site, static, nil
	for _, n := range site {
		p1.config.Originate = append(p1.config.Originate, plan.Originate{Network: n})
	}
	for _, c := range []*bird.Config{&p1.config, &q1.config} {
		c.Owners = []plan.Owner{{AS: 65001, Networks: site}, {AS: 65002, Networks: theirs}}
	}
	p1.resolved(t)
	q1.resolved(t)
	l.start(t)
	nettest.Eventually(t, "both know the other's networks", func() string {
		for r, of := range map[*router][]netip.Prefix{p1: theirs, q1: site} {
			peer := map[*router]string{p1: "q1", q1: "p1"}[r]
			for _, n := range of {
				if !strings.Contains(r.birdc(t, "show route protocol "+peer), n.String()+" ") {
					return r.label + " lacks " + n.String()
				}
			}
		}
		return ""
	})
	return l, p1, q1
}

// The router is its LAN's gateway: nothing of the site goes by a gateway, or by the
// uplink.
func TestRouterIsTheGateway(t *testing.T) {
	site := networks("10.1.0.0/16", "10.1.1.0/24", "10.1.2.0/24")
	for name, static := range map[string]plan.Static{
		"derived": {Via: netip.MustParseAddr("10.1.1.1"), Derived: true},
		"said":    {Via: netip.MustParseAddr("10.1.1.1")}, "none": {Connected: true},
	} {
		t.Run(name, func(t *testing.T) {
			var all []plan.Static
			for _, n := range site {
				static.Network = n
				all = append(all, static)
			}
			_, p1, _ := twoSites(t, site, networks("10.2.0.0/16"), all,
				"addr add 10.1.1.1/24 dev site0 metric 100", "link add site1 type bridge",
				"link set site1 up", "addr add 10.1.2.1/24 dev site1",
				"link add up0 type bridge", "link set up0 up", "addr add 203.0.113.2/24 dev up0",
				"route add default via 203.0.113.1")
			for to, iface := range map[string]string{"10.1.1.50": "site0", "10.1.2.50": "site1", "10.1.7.7": "site0"} {
				nettest.Eventually(t, to, func() string {
					if got := p1.get(t, to); !strings.Contains(got, "dev "+iface+" ") {
						return got
					}
					return ""
				})
				assert.NotContains(t, p1.get(t, to), " via ")
			}
			said := must.Get(os.ReadFile(p1.dir + "/bird.out"))(t)
			assert.NotContains(t, string(said), "next-hop")
		})
	}
}

// AWS's IPv6: an address of a whole length, and a gateway that is link-local. The end of
// the other site's tunnel is in that site's network: what the router itself sends there
// goes outside of tunnels, and what it forwards goes by the tunnel, as all of the site.
func TestLinkLocalGateway(t *testing.T) {
	site, theirs := networks("fd00:1::/56"), networks("fd00:2::/48")
	endpoint := networks("fd00:2:0:10::4/128")[0]
	const own = "fd00:1:0:10::4"
	_, p1, q1 := twoSites(t, site, theirs,
		[]plan.Static{
			{Network: site[0], Via: netip.MustParseAddr("fd00:1::1"), Derived: true},
			{Network: endpoint, Outside: true, Source: netip.MustParseAddr(own)},
		},
		"addr add fe80::7/64 dev site0 nodad", "addr add "+own+"/128 dev site0 nodad",
		"addr add fd00:1:0:10::5/128 dev site0 nodad", // the kernel's choice
		"-6 route add default via fe80::1 dev site0 proto ra metric 100")
	const gateway, forwarded = "via fe80::1 dev site0", " from fd00:1:0:20::9 iif site0"
	end := endpoint.Addr().String()
	ways := func(what string, ways map[string]string) {
		t.Helper()
		nettest.Eventually(t, what, func() string {
			for packet, way := range ways {
				if got := p1.get(t, packet); !strings.Contains(got, way) {
					return packet + ": " + got
				}
			}
			return ""
		})
	}
	ways("routes", map[string]string{
		"fd00:1:0:20::9": gateway, "fd00:2::9": "dev wg1", "fd00:2::9" + forwarded: "dev wg1",
		end: gateway, end + forwarded: "dev wg1",
	})
	assert.NotContains(t, q1.birdc(t, "show route table all"), endpoint.String())
	const source = " src " + own + " "
	assert.Contains(t, p1.get(t, end), source, "the peer would follow to another address, and lose the tunnel")

	// The host's default route changes, as by another router's advertisement, by another uplink,
	// one without a gateway, or one that is gone for a while: BIRD follows.
	uplink := "link add up0 type veth peer name up1; link set up1 up; link set up0 up"
	for _, change := range [][2]string{
		{"-6 route replace default via fe80::2 dev site0 proto ra metric 100", "via fe80::2 dev site0"},
		{uplink + "; -6 route add default via fe80::3 dev up0 metric 50", "via fe80::3 dev up0"},
		{"-6 route replace default dev up0 metric 50", end + " from :: dev up0"},
		{"link del up0", "via fe80::2 dev site0"},
		{"-6 route del default", "dev wg1"},
		{"-6 route add default via fe80::1 dev site0 proto ra metric 100", gateway},
	} {
		for _, command := range strings.Split(change[0], "; ") {
			p1.IP(t, strings.Fields(command)...)
		}
		ways(change[0], map[string]string{end: change[1], end + forwarded: "dev wg1"})
	}
	assert.NotContains(t, q1.birdc(t, "show route table all"), "::/0")

	// Its address is away for a while, as where the host's network is set up anew.
	p1.IP(t, "addr", "del", own+"/128", "dev", "site0")
	p1.IP(t, "addr", "add", own+"/128", "dev", "site0", "nodad")
	ways("the address is back", map[string]string{end: source, end + forwarded: "dev wg1"})

	// The tunnel lives on without BIRD, for the next one, and no packet of others' leaves. BIRD 3.3
	// and later ones take the route away, for as long as they are down.
	p1.birdc(t, "down")
	const refused = "No route to host"
	outside := gateway
	if v := p1.config.Version; v.Major == 3 && v.Minor >= 3 {
		outside = refused
	}
	ways("BIRD is down", map[string]string{end: outside, end + forwarded: refused, "fd00:2::9": refused})

	p1.lay(t, nil)
	assert.NotContains(t, p1.IP(t, "-6", "rule"), "157157")
	assert.Empty(t, p1.IP(t, "-6", "route", "show", "table", "157157"))
}
