//go:build integration

package bird_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/plan"
)

// network is what the module sees of a namespace.
func (n namespace) network(t *testing.T) bird.Network {
	t.Helper()
	var host bird.Network
	require.NoError(t, n.Inside(func() (err error) {
		host, err = bird.ObserveNetwork()
		return err
	}))
	return host
}

// resolved writes the router's configuration as the module does, by what it sees of the host.
func (r *router) resolved(t *testing.T) {
	t.Helper()
	_ = r.text(t)
	c, src, _, err := bird.Resolve(r.config, r.network(t))
	require.NoError(t, err)
	text := bird.Render(c, src)
	require.NoError(t, os.WriteFile(r.conf(), text, 0o644))
	r.lay(t, c.Below())
}

// lay reaches a floor.
func (r *router) lay(t *testing.T, networks []netip.Prefix) {
	t.Helper()
	h := floor.Host{Folder: r.dir}
	require.NoError(t, r.Inside(func() error {
		have, err := h.Observe(t.Context())
		if err == nil {
			_, err = h.Apply(t.Context(), h.Diff(floor.Want{Networks: networks}, have))
		}
		return err
	}))
}

// get is what the kernel answers for a packet.
func (n namespace) get(t *testing.T, packet string) string {
	t.Helper()
	out, _ := n.Command(append([]string{"ip", "route", "get"}, strings.Fields(packet)...)...).CombinedOutput()
	return string(out)
}

// A route of BIRD's beats no subnet that the host is connected to, whoever gave it its
// metric: not the way into the own site, not what another site announces.
func TestConnectedIsNeverBeaten(t *testing.T) {
	for name, tt := range map[string]struct {
		host   []string // commands of ip
		site   []netip.Prefix
		theirs []netip.Prefix
		via    string
		wire   map[string]string // destination -> interface, without a gateway
		tunnel []string
		late   bool // the addresses come after bird.conf
	}{
		"the site is the subnet": {
			host: []string{"addr add 10.1.1.11/24 dev site0 metric %d"}, site: networks("10.1.1.0/24"), via: "10.1.1.1",
			wire: map[string]string{"10.1.1.50": "site0"},
		},
		"the address comes later": {
			host: []string{"addr add 10.1.1.11/24 dev site0 metric %d"},
			site: networks("10.1.0.0/16", "10.1.1.0/24"), via: "10.1.1.1", late: true,
			wire: map[string]string{"10.1.1.50": "site0"},
		},
		"the subnet's gateway is another one": {
			host: []string{"addr add 10.1.1.11/24 dev site0 metric %d", "route add default via 10.1.1.254"},
			site: networks("10.1.0.0/16", "10.1.1.0/24"), via: "10.1.1.1",
			wire: map[string]string{"10.1.1.50": "site0", "10.1.1.254": "site0"},
		},
		"zones inside of a flat subnet": {
			host: []string{"addr add 10.1.1.11/16 dev site0 metric %d"},
			site: networks("10.1.0.0/16", "10.1.1.0/24", "10.1.2.0/24"), via: "10.1.1.1",
			wire: map[string]string{"10.1.1.50": "site0", "10.1.2.50": "site0", "10.1.9.9": "site0"},
		},
		"a zone is the second interface's subnet": {
			host: []string{"addr add 10.1.1.11/24 dev site0 metric %d", "addr add 10.1.2.11/24 dev site1 metric %[1]d"},
			site: networks("10.1.0.0/16", "10.1.1.0/24", "10.1.2.0/24"), via: "10.1.1.1",
			wire: map[string]string{"10.1.1.50": "site0", "10.1.2.50": "site1"},
		},
		"and lies in the first one's": {
			host: []string{"addr add 10.1.1.11/16 dev site0 metric %d", "addr add 10.1.2.11/24 dev site1 metric %[1]d"},
			site: networks("10.1.0.0/16", "10.1.1.0/24", "10.1.2.0/24"), via: "10.1.1.1",
			wire: map[string]string{"10.1.1.50": "site0", "10.1.2.50": "site1"},
		},
		"another site has Docker's": {
			host: []string{"addr add 10.1.1.11/24 dev site0", "addr add 172.17.0.1/16 dev site1 metric %d"},
			site: networks("10.1.0.0/16"), via: "10.1.1.1", theirs: networks("172.17.0.0/16"),
			wire: map[string]string{"172.17.0.2": "site1"},
		},
		"another site has a part of Docker's": {
			host: []string{"addr add 10.1.1.11/24 dev site0", "addr add 172.17.0.1/16 dev site1 metric %d"},
			site: networks("10.1.0.0/16"), via: "10.1.1.1", theirs: networks("172.17.5.0/24", "10.2.0.0/16"),
			wire: map[string]string{"172.17.5.2": "site1"}, tunnel: []string{"10.2.0.9"},
		},
		"another site is cut out of the own subnet": {
			host: []string{"addr add 10.1.1.11/8 dev site0 metric %d"},
			site: networks("10.1.0.0/16"), via: "10.1.1.1", theirs: networks("10.2.0.0/16"),
			wire: map[string]string{"10.1.1.50": "site0", "10.9.1.1": "site0"}, tunnel: []string{"10.2.0.9"},
		},
		"IPv6, the site is the subnet": {
			host: []string{"addr add fd00:1::11/64 dev site0 nodad metric %d"},
			site: networks("fd00:1::/64"), via: "fd00:1::1",
			wire: map[string]string{"fd00:1::50": "site0"},
		},
		"IPv6, zones inside of a flat subnet": {
			host: []string{"addr add fd00:1::11/48 dev site0 nodad metric %d"},
			site: networks("fd00:1::/48", "fd00:1:0:1::/64"), via: "fd00:1::1",
			wire: map[string]string{"fd00:1:0:1::50": "site0", "fd00:1:0:9::1": "site0"},
		},
		"IPv6, another site has what is on a second interface": {
			host: []string{"addr add fd00:1::11/64 dev site0 nodad", "addr add fd00:7::1/64 dev site1 nodad metric %d"},
			site: networks("fd00:1::/48"), via: "fd00:1::1",
			theirs: networks("fd00:7::/64", "fd00:7::/80", "fd00:2::/48"),
			wire:   map[string]string{"fd00:7::2": "site1", "fd00:7::1:0:0:2": "site1"}, tunnel: []string{"fd00:2::9"},
		},
	} {
		for _, metric := range []int{0, 100, 149, 436, 512, 1024, 20600} {
			if metric != 1024 && os.Getenv("WGMESH_CONNECTED") == "" {
				continue // one comparison in the kernel tells the most
			}
			t.Run(fmt.Sprintf("%s, metric %d", name, metric), func(t *testing.T) {
				l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
				p1, q1 := l.byName["p1"], l.byName["q1"]
				p1.IP(t, "addr", "flush", "dev", "site0")
				p1.IP(t, "link", "add", "site1", "type", "bridge")
				p1.IP(t, "link", "set", "site1", "up")
				command := func(text string) {
					if strings.Contains(text, "%") {
						text = fmt.Sprintf(text, metric)
					}
					p1.IP(t, strings.Fields(text)...)
				}
				connect := func() {
					for _, text := range tt.host {
						command(text)
					}
				}
				if !tt.late {
					connect()
				}
				p1.config.Networks, p1.config.Static, p1.config.Originate = tt.site, nil, nil
				for _, n := range tt.site {
					p1.config.Static = append(p1.config.Static, plan.Static{
						Network: n, Via: netip.MustParseAddr(tt.via),
					})
					p1.config.Originate = append(p1.config.Originate, plan.Originate{Network: n})
				}
				for _, n := range tt.theirs {
					// Announced, and installed nowhere there.
					via := "10.2.1.1"
					if n.Addr().Is6() {
						via = "fd00:2::1"
					}
					q1.config.Static = append(q1.config.Static, plan.Static{Network: n, Via: netip.MustParseAddr(via)})
					q1.config.Originate = append(q1.config.Originate, plan.Originate{Network: n})
				}
				q1.config.Static, q1.config.Originate = once(q1.config.Static, q1.config.Originate)
				for _, c := range []*bird.Config{&p1.config, &q1.config} {
					c.Owners = []plan.Owner{{AS: 65001, Networks: tt.site}, {AS: 65002}}
					for _, s := range q1.config.Static {
						c.Owners[1].Networks = append(c.Owners[1].Networks, s.Network)
					}
				}
				p1.resolved(t)
				q1.resolved(t)
				l.start(t)
				if tt.late {
					connect()
				}
				nettest.Eventually(t, "both know the other's networks", func() string {
					for _, n := range tt.site {
						if !strings.Contains(q1.birdc(t, "show route protocol p1"), n.String()+" ") {
							return "q1 lacks " + n.String()
						}
					}
					for _, n := range tt.theirs {
						if !strings.Contains(p1.birdc(t, "show route protocol q1"), n.String()+" ") {
							return "p1 lacks " + n.String()
						}
					}
					return ""
				})
				check := func(when string, tunnel []string) {
					for to, iface := range tt.wire {
						got := p1.get(t, to)
						assert.Contains(t, got, "dev "+iface+" ", "%s: %s", when, to)
						assert.NotContains(t, got, " via ", "%s: %s", when, to)
					}
					for _, to := range tunnel {
						nettest.Eventually(t, when, func() string { // BIRD 3 tells the kernel later
							if got := p1.get(t, to); !strings.Contains(got, "dev wg1 ") {
								return to + ": " + got
							}
							return ""
						})
					}
				}
				check("running", tt.tunnel)
				p1.IP(t, "addr", "flush", "dev", "site0")
				p1.IP(t, "addr", "flush", "dev", "site1")
				connect() // as DHCP does
				time.Sleep(100 * time.Millisecond)
				check("connected again", nil)
				if t.Failed() {
					t.Log(p1.IP(t, "route"), p1.IP(t, "-6", "route"))
				}
			})
		}
	}
}

func once(static []plan.Static, originate []plan.Originate) (s []plan.Static, o []plan.Originate) {
	seen := map[netip.Prefix]bool{}
	for i, x := range static {
		if !seen[x.Network] {
			seen[x.Network] = true
			s, o = append(s, x), append(o, originate[i])
		}
	}
	return s, o
}

// An upgrade changes the metric of a running mesh's routes, with BIRD's own way of
// doing so. The packets that it costs are counted, at 1000 in a second.
func TestMetricOfARunningMesh(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	p1 := l.byName["p1"]
	text := p1.text(t)
	before := regexp.MustCompile(
		`(?s)(protocol kernel kernel4 .*?)\tmetric \d+;[^\n]*\n`).ReplaceAllString(string(text), "$1")
	before = regexp.MustCompile(`metric \d+;`).ReplaceAllString(before, "metric 512;")
	require.NoError(t, os.WriteFile(p1.conf(), []byte(before), 0o644))
	l.start(t)
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "q1", "p1 fd00:2::/48": "q1"})
	p1.floor(t)
	far := []string{"10.2.1.12", "fd00:2::1:12"}
	for _, to := range far { // a cable's ends find each other first, which IPv6 may need a second for
		nettest.Eventually(t, to+" answers", func() string {
			if out, err := p1.Command("ping", "-q", "-c", "1", "-W", "1", to).CombinedOutput(); err != nil {
				return string(out)
			}
			return ""
		})
	}
	var pings []*exec.Cmd
	var outs []*strings.Builder
	for _, to := range far {
		out := &strings.Builder{}
		cmd := p1.Command("ping", "-q", "-i", "0.001", "-W", "1", to)
		cmd.Stdout, cmd.Stderr = out, out
		require.NoError(t, cmd.Start())
		pings, outs = append(pings, cmd), append(outs, out)
	}
	leaks := p1.leaks(t)
	time.Sleep(200 * time.Millisecond)
	require.NoError(t, os.WriteFile(p1.conf(), text, 0o644))
	p1.birdc(t, "configure")
	_, err := bird.ObserveDaemon(t.Context(), p1.socket())
	require.NoError(t, err)
	time.Sleep(time.Second)
	for i, ping := range pings {
		require.NoError(t, ping.Process.Signal(os.Interrupt))
		_ = ping.Wait()
		m := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(outs[i].String())
		require.NotNil(t, m, outs[i].String())
		sent, _ := strconv.Atoi(m[1])
		got, _ := strconv.Atoi(m[2])
		t.Logf("%s: %d sent, %d lost", ping.Args[len(ping.Args)-1], sent, sent-got)
		assert.Positive(t, got)
	}
	assert.Zero(t, leaks(), "left by the site's side")
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "q1", "p1 fd00:2::/48": "q1"})
	nettest.Eventually(t, "the new metric", func() string {
		now := p1.IP(t, "route", "show", "10.2.1.0/24")
		if strings.Contains(now, fmt.Sprintf("metric %d", uint32(bird.Metric))) {
			return ""
		}
		return now
	})
	assert.Contains(t, p1.birdc(t, "show protocols"), "Established", "the session stayed")
}

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

// The router is its LAN's gateway: nothing of the site goes by a gateway, or by the uplink.
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
