//go:build integration

package bird_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

func sixRouters(t *testing.T) *lab {
	return newLab(t,
		&router{label: "p1", site: 1, zone: 1}, &router{label: "p2", site: 1, zone: 2},
		&router{label: "q1", site: 2, zone: 1}, &router{label: "q2", site: 2, zone: 2},
		&router{label: "o1", site: 3, zone: 1}, &router{label: "g1", site: 4, zone: 1})
}

// zones is the state of a healthy mesh: traffic goes straight to the router of
// the destination's zone, both ways.
func zones() map[string]string {
	return map[string]string{
		"p1 10.2.1.0/24": "q1", "p1 10.2.2.0/24": "q2", "p2 10.2.1.0/24": "q1", "p2 10.2.2.0/24": "q2",
		"q1 10.1.1.0/24": "p1", "q1 10.1.2.0/24": "p2", "q2 10.1.1.0/24": "p1", "q2 10.1.2.0/24": "p2",
		"o1 10.1.2.0/24": "p2", "g1 10.2.2.0/24": "q2", "p2 10.3.0.0/16": "o1", "q1 10.4.1.0/24": "g1",
		"p1 fd00:2::/48": "q1", "g1 fd00:3::/48": "o1",
	}
}

func with(base map[string]string, changes map[string]string) map[string]string {
	maps.Copy(base, changes)
	return base
}

func TestPaths(t *testing.T) {
	l := sixRouters(t)
	l.start(t)
	l.expect(t, zones())

	t.Run("own packets carry the site's address", func(t *testing.T) {
		assert.Contains(t, l.byName["p1"].IP(t, "route", "get", "10.2.1.9"), "src 10.1.1.11")
		assert.Contains(t, l.byName["p1"].IP(t, "-6", "route", "get", "fd00:2::9"), "src fd00:1::1:11")
	})
	t.Run("no tunnel's network is announced", func(t *testing.T) {
		for _, r := range l.routers {
			for line := range strings.Lines(r.birdc(t, "show route")) {
				assert.False(t,
					strings.HasPrefix(line, "172.31.") || strings.HasPrefix(line, "fd53:"), "%s: %s", r.label, line)
			}
		}
	})
	t.Run("a router without its own tunnel to the zone goes by its neighbour's", func(t *testing.T) {
		l.cut(t, "q2", "p1")
		l.expect(t,
			with(zones(), map[string]string{"q2 10.1.1.0/24": "q1", "p1 10.2.2.0/24": "p2", "p1 fd00:2::/48": "q1"}))
		l.mend(t, "q2", "p1")
		l.expect(t, zones())
	})
	t.Run("the other zone's router takes over", func(t *testing.T) {
		for _, peer := range []string{"q1", "q2", "o1", "g1", "p2"} {
			l.cut(t, "p1", peer)
		}
		l.expect(t, map[string]string{
			"q1 10.1.1.0/24": "p2", "q2 10.1.1.0/24": "p2", "o1 10.1.1.0/24": "p2", "q1 fd00:1::/48": "p2",
		})
		for _, peer := range []string{"q1", "q2", "o1", "g1", "p2"} {
			l.mend(t, "p1", peer)
		}
		l.expect(t, zones())
	})
	t.Run("a third site carries what has no direct tunnel left", func(t *testing.T) {
		for _, pair := range [][2]string{{"p1", "q1"}, {"p1", "q2"}, {"p2", "q1"}, {"p2", "q2"}} {
			l.cut(t, pair[0], pair[1])
		}
		// Of the two third sites the lower router id carries it: o1.
		l.expect(t, map[string]string{
			"p1 10.2.1.0/24": "o1", "p2 10.2.2.0/24": "o1", "q1 10.1.1.0/24": "o1", "q2 10.1.2.0/24": "o1",
			"p1 fd00:2::/48": "o1", "o1 10.2.2.0/24": "q2", "o1 10.1.2.0/24": "p2",
		})
		l.cut(t, "p1", "o1")
		// p1 has a choice of the same length: its own tunnel to g1 wins over the way by p2.
		l.expect(t, map[string]string{"p1 10.2.1.0/24": "g1", "p2 10.2.1.0/24": "o1"})
		l.mend(t, "p1", "o1")
		for _, pair := range [][2]string{{"p1", "q1"}, {"p1", "q2"}, {"p2", "q1"}, {"p2", "q2"}} {
			l.mend(t, pair[0], pair[1])
		}
		l.expect(t, zones())
	})
	t.Run("what nobody has a way to is refused, and not sent the host's other way", func(t *testing.T) {
		p1 := l.byName["p1"]
		p1.floor(t)
		p1.IP(t, "route", "add", "default", "via", "10.1.1.1")
		p1.IP(t, "-6", "route", "add", "default", "via", "fd00:1::1:1")
		for _, peer := range []string{"q1", "q2", "o1", "g1", "p2"} {
			l.cut(t, "p1", peer)
		}
		refuses := func(to string) string {
			out, _ := exec.CommandContext(t.Context(), "ip", "-n", p1.Name, "route", "get", to).CombinedOutput()
			if strings.Contains(string(out), "No route to host") {
				return ""
			}
			return to + ": " + string(out)
		}
		nettest.Eventually(t, "refused", func() string {
			return refuses("10.2.1.9") + refuses("10.2.77.9") + refuses("10.3.1.9") + refuses("fd00:2::9")
		})
		assert.Contains(t, p1.IP(t, "route", "get", "10.9.1.1"), "via 10.1.1.1", "nobody's network")
		p1.config.Unreachable = false
		assert.Empty(t, p1.config.Refused())
		p1.config.Unreachable = true
		for _, peer := range []string{"q1", "q2", "o1", "g1", "p2"} {
			l.mend(t, "p1", peer)
		}
		p1.IP(t, "route", "del", "default")
		p1.IP(t, "-6", "route", "del", "default")
		l.established(t)
		l.expect(t, zones())
		l.expect(t, map[string]string{"p1 10.2.0.0/16": "q1", "p1 10.3.0.0/16": "o1"})
		for _, to := range []string{"10.2.1.9", "10.2.77.9", "10.3.1.9", "fd00:2::9"} {
			assert.NotEmpty(t, refuses(to), "%s: a way is known, so nothing is refused", to)
		}
		for line := range strings.Lines(p1.birdc(t, "show route all")) {
			assert.NotContains(t, line, "unreachable", "BIRD took the floor for a route")
		}
	})
	t.Run("draining moves the traffic and keeps the sessions", func(t *testing.T) {
		p1 := l.byName["p1"]
		p1.config.Drain = drain
		l.configure(t, p1)
		l.expect(t, map[string]string{
			"q1 10.1.1.0/24": "p2", "o1 10.1.1.0/24": "p2", "q2 fd00:1::/48": "p2",
			"p1 10.2.1.0/24": "p2", "p1 10.3.0.0/16": "p2", "p2 10.2.1.0/24": "q1",
		})
		assert.Equal(t, 5, strings.Count(p1.birdc(t, "show protocols"), "Established"))
		p1.config.Drain = plan.Drain{}
		l.configure(t, p1)
		l.expect(t, zones())
	})
}

func (l *lab) configure(t *testing.T, r *router) {
	t.Helper()
	require.NoError(t, os.WriteFile(r.conf(), r.text(t), 0o644))
	assert.Regexp(t, "Reconfigur(ed|ation in progress)", r.birdc(t, "configure"))
	d, err := bird.ObserveDaemon(t.Context(), r.socket()) // waits until it is through
	require.NoError(t, err)
	assert.Equal(t, bird.StampOf(r.text(t)), d.Runs)
}

// A site with transit: false neither carries others' traffic nor is believed when it offers to.
func TestNoTransit(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1},
		&router{label: "o1", site: 3, zone: 1})
	l.byName["o1"].config.Transit = false
	l.start(t)
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "q1", "p1 10.3.0.0/16": "o1"})
	l.cut(t, "p1", "q1")
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "", "q1 10.1.1.0/24": "", "p1 10.3.0.0/16": "o1"})

	// Now it offers, and its neighbours are told not to take it.
	for name, r := range l.byName {
		r.config.Transit = true
		for i, n := range r.config.Neighbors {
			r.config.Neighbors[i].Transit = name == "o1" || n.Name != "o1"
		}
		l.configure(t, r)
	}
	nettest.Eventually(t, "o1 offers what it carries", func() string {
		out := l.byName["o1"].birdc(t, "show route export p1")
		if strings.Contains(out, "10.2.1.0/24") {
			return ""
		}
		return out
	})
	time.Sleep(time.Second)
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "", "q1 10.1.1.0/24": "", "p1 10.3.0.0/16": "o1"})
}

// A site announces what is not its own. None of it is taken, what is its own
// stays, and so does the session.
func TestHijack(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "p2", site: 1, zone: 2},
		&router{label: "q1", site: 2, zone: 1}, &router{label: "o1", site: 3, zone: 1})
	evil := l.byName["o1"]
	routes := []string{
		"0.0.0.0/0", "10.2.0.0/16", "10.2.1.0/24", "10.2.1.0/25", "10.1.1.0/24", "10.0.0.0/8",
		"172.31.1.0/24", "127.0.0.0/8",
		"10.3.1.128/25", "10.3.2.0/24",
	}
	for i := range 1000 {
		routes = append(routes, fmt.Sprintf("10.3.%d.%d/30", 100+i/64, i%64*4))
	}
	text := string(evil.text(t))
	var extra strings.Builder
	for _, r := range routes {
		if !strings.Contains(text, "route "+r+" ") {
			fmt.Fprintf(&extra, "\troute %s blackhole;\n", r)
		}
	}
	text = strings.Replace(text, "\troute 10.3.0.0/16", extra.String()+"\troute 10.3.0.0/16", 1)
	// Its filters let everything out, its own kernel gets none of it.
	text = strings.ReplaceAll(text, "export where to_other_site4(65001);", "export where source = RTS_STATIC;")
	text = strings.ReplaceAll(text, "export where to_other_site4(65002);", "export where source = RTS_STATIC;")
	text = strings.Replace(text, "if source = RTS_BGP then krt_prefsrc = 10.3.1.14;", "reject;", 1)
	require.NoError(t, os.WriteFile(evil.conf(), []byte(text), 0o644))

	// Nor is the site's own other router believed about what nobody owns, or
	// what another site owns.
	sibling := l.byName["p2"]
	text = strings.Replace(string(sibling.text(t)), "\troute 10.1.0.0/16",
		"\troute 10.1.1.128/25 blackhole;\n\troute 10.2.2.0/24 blackhole;\n\troute 10.1.0.0/16", 1)
	text = strings.Replace(text, "export where to_same_site4();",
		"export where source = RTS_STATIC || to_same_site4();", 1)
	require.NoError(t, os.WriteFile(sibling.conf(), []byte(text), 0o644))
	l.start(t)

	l.expect(t, map[string]string{
		"p1 10.2.1.0/24": "q1", "p1 10.3.0.0/16": "o1", "p1 10.3.1.0/24": "o1", "q1 10.1.1.0/24": "p1",
		"p2 10.3.0.0/16": "o1", "p2 10.3.1.0/24": "o1", "q1 10.3.0.0/16": "o1", "q1 10.3.1.0/24": "o1",
	})
	for _, name := range []string{"p1", "p2", "q1"} {
		r := l.byName[name]
		got := r.IP(t, "route", "show", "proto", "bird", "dev", fmt.Sprintf("wg%d", link(r, evil)))
		assert.Equal(t, 2, strings.Count(got, "via"), "%s took\n%s", name, got)
		assert.Empty(t, r.IP(t, "route", "show", "default"), name)
		assert.Contains(t, r.birdc(t, "show protocols o1"), "Established", name)
	}
	var fromSibling string
	nettest.Eventually(t, "the sibling's routes arrive", func() string {
		fromSibling = l.byName["p1"].birdc(t, "show route protocol p2")
		return lacks(fromSibling, "10.1.1.0/24")
	})
	assert.NotContains(t, fromSibling, "10.1.1.128/25")
	for line := range strings.Lines(fromSibling) {
		assert.False(t, strings.HasPrefix(line, "10.2.2.0/24") && !strings.Contains(line, "AS65002"), line)
	}
}

// Every text that a golden file holds, and everything that Validate accepts,
// is taken by the real parser.
func TestParserTakesGoldens(t *testing.T) {
	nettest.Need(t, "bird")
	for _, dir := range cases(t) {
		require.NoError(t, bird.Check(t.Context(), must.Get(os.ReadFile(dir+"/bird.conf"))(t)), dir)
	}
}

// A router that was taken over lies to the other router of its site: preferred
// routes, more specific ones, ones of an AS that does not own them. The other one
// goes on by its own tunnels, and still by the zone's router where MEDs say so.
func TestSiblingLies(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "p2", site: 1, zone: 2},
		&router{label: "q1", site: 2, zone: 1}, &router{label: "q2", site: 2, zone: 2},
		&router{label: "o1", site: 3, zone: 1})
	evil := l.byName["p2"]
	// By link addresses of the evil one's, to nobody: what it draws it reads.
	var lies strings.Builder
	for _, lie := range []struct{ network, path, more string }{
		{"10.2.0.0/16", "65002", ""},                            // as long as the honest path
		{"10.2.1.0/24", "65002", "bgp_med = 0;"},                // as the zone's router says it
		{"10.3.0.0/16", "65003", ""},                            //
		{"10.3.1.0/25", "65003", ""},                            // more specific than the owner's
		{"10.2.2.0/25", "65002", ""},                            //
		{"10.2.2.0/24", "65003 65002 65003", ""},                // its origin owns it not
		{"10.4.0.0/16", "65003", ""},                            //
		{"10.1.1.0/25", "", ""},                                 // of the own site
		{"0.0.0.0/0", "65002", ""},                              //
		{"203.0.113.0/24", "65002", "bgp_origin = ORIGIN_IGP;"}, // nobody's
		{"10.3.1.0/24", "65003", "bgp_origin = ORIGIN_IGP;"},    //
	} {
		fmt.Fprintf(&lies, "\troute %s blackhole {\n", lie.network)
		for _, as := range slices.Backward(strings.Fields(lie.path)) {
			fmt.Fprintf(&lies, "\t\tbgp_path.prepend(%s);\n", as)
		}
		fmt.Fprintf(&lies, "\t\tbgp_local_pref = 4000; %s\n\t};\n", lie.more)
	}
	require.NoError(t, os.WriteFile(evil.conf(), []byte(lying(t, string(evil.text(t)), "p1", lies.String())), 0o644))
	l.start(t)

	nettest.Eventually(t, "the lies arrive", func() string {
		if !strings.Contains(l.byName["p1"].birdc(t, "show route protocol p2"), "10.3.0.0/16") {
			return "not yet"
		}
		return ""
	})
	p1 := l.byName["p1"]
	l.expect(t, map[string]string{
		"p1 10.2.0.0/16": "q1", "p1 10.2.1.0/24": "q1", "p1 10.2.2.0/24": "q2",
		"p1 10.3.0.0/16": "o1", "p1 10.3.1.0/24": "o1",
	})
	assert.Empty(t,
		p1.IP(t, "route", "show", "proto", "bird", "dev", fmt.Sprintf("wg%d", link(p1, evil))), "drawn by the sibling")
	for _, network := range []string{
		"10.3.1.0/25", "10.2.2.0/25", "10.4.0.0/16", "10.1.1.0/25", "0.0.0.0/0", "203.0.113.0/24",
	} {
		assert.NotContains(t, p1.birdc(t, "show route protocol p2")+"\n", network+" ", "nobody owns it")
	}

	// Draining still works: a preference of 0 is taken, and the way by the sibling
	// is there for a router whose own tunnels are gone.
	for _, peer := range []string{"q1", "q2", "o1"} {
		l.cut(t, "p1", peer)
	}
	l.expect(t, map[string]string{"p1 10.3.0.0/16": "p2", "p1 10.2.0.0/16": "p2"})
}

// A neighbour with extended messages (RFC 8654) sends a path that is longer than any of this mesh
// can be, and one that is long enough for CVE-2026-49943. Neither is taken, the sessions stay, and
// the routes beside them are there: also where somebody switched extended messages on here, so that
// the longest one arrives. What is as long as it may be is taken and goes no further.
func TestLongPaths(t *testing.T) {
	for _, here := range []string{"off", "on"} {
		t.Run("extended messages "+here, func(t *testing.T) { longPaths(t, here) })
	}
}

func longPaths(t *testing.T, here string) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "p2", site: 1, zone: 2},
		&router{label: "o1", site: 3, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	long := func(network string, n int, as string) string {
		return "\troute " + network + " blackhole {\n\t\tbgp_path.prepend(" + as + ");\n" +
			strings.Repeat("\t\tbgp_path.prepend(65009);\n", n-1) + "\t};\n"
	}
	routes := func(own int) string { // so many are added on the way
		return long("10.2.1.0/24", 3-own, "65002") + long("10.2.0.0/16", 4-own, "65002") +
			long("10.3.0.0/16", 2-own, "65003") + long("10.3.1.0/24", 3-own, "65003") +
			long("10.4.0.0/16", 900, "65004") + long("10.4.1.0/24", 2100, "65004")
	}
	p1 := l.byName["p1"]
	text := strings.ReplaceAll(string(p1.text(t)), "enable extended messages off;",
		"enable extended messages "+here+";")
	require.NoError(t, os.WriteFile(p1.conf(), []byte(text), 0o644))
	for name, own := range map[string]int{"o1": 1, "p2": 0} { // one of another site, one of the own
		evil := l.byName[name]
		text := strings.ReplaceAll(string(evil.text(t)), "enable extended messages off;",
			"enable extended messages on;")
		require.NoError(t, os.WriteFile(evil.conf(), []byte(lying(t, text, "p1", routes(own))), 0o644))
	}
	l.start(t)
	for _, from := range []string{"o1", "p2"} {
		nettest.Eventually(t, "the longest that is right arrives", func() string {
			if got := p1.birdc(t, "show route protocol "+from); !strings.Contains(got, "10.2.1.0/24") {
				return got
			}
			return ""
		})
		got := p1.birdc(t, "show route protocol "+from)
		for _, network := range []string{"10.2.0.0/16", "10.4.0.0/16", "10.4.1.0/24"} {
			assert.NotContains(t, got, network, from)
		}
		session := p1.birdc(t, "show protocols all "+from)
		assert.Contains(t, session, "Established", from)
		_, capabilities, _ := strings.Cut(session, "Local capabilities")
		capabilities, _, _ = strings.Cut(capabilities, "Neighbor capabilities")
		assert.Equal(t, here == "on", strings.Contains(capabilities, "Extended message"), from)
	}
	nettest.Eventually(t, "the shorter one goes on", func() string {
		if out := p1.birdc(t, "show route export q1"); !strings.Contains(out, "10.3.0.0/16") {
			return out
		}
		return ""
	})
	assert.Contains(t, p1.birdc(t, "show route"), "10.3.1.0/24")
	assert.NotContains(t, p1.birdc(t, "show route export q1"), "10.3.1.0/24")
	l.expect(t, map[string]string{"p1 10.2.0.0/16": "q1", "p1 10.2.1.0/24": "q1"})
	assert.Contains(t, p1.birdc(t, "show status"), "Daemon is up")
}

// lying makes a configuration announce these routes to one neighbour, and nothing else.
func lying(t *testing.T, text, to, routes string) string {
	t.Helper()
	text = strings.Replace(text, "# ---- Sessions",
		"ipv4 table lies;\nprotocol static liar {\n\tipv4 { table lies; };\n"+routes+"}\n\n# ---- Sessions", 1)
	head, tail, found := strings.Cut(text, "protocol bgp "+to+" ")
	require.True(t, found)
	channel, rest, found := strings.Cut(tail, "\tipv6 {")
	require.True(t, found)
	channel = regexp.MustCompile(`(?s)import where .*?;.*?export where [^;]*;`).ReplaceAllString(channel,
		"table lies;\n\t\timport none;\n\t\texport all;")
	return head + "protocol bgp " + to + " " + channel + "\tipv6 {" + rest
}

// floor gives the router what pkg/floor would. BIRD neither learns these routes nor removes them.
func (r *router) floor(t *testing.T) {
	t.Helper()
	for _, n := range r.config.Refused() {
		r.IP(t, "route", "replace", "unreachable", n.String(), "proto", "157", "metric", "4294967295")
	}
}

// leaks counts what leaves a router by its own site's side for other sites, from the
// moment it is made: a rule of nft on the way out counts packets, whoever sends them.
func (r *router) leaks(t *testing.T) func() int {
	t.Helper()
	rules := "table inet leak {\n\tcounter four {}\n\tcounter six {}\n\tchain out {\n" +
		"\t\ttype filter hook postrouting priority 0;\n"
	for _, n := range r.config.Refused() {
		family, counter := "ip", "four"
		if n.Addr().Is6() {
			family, counter = "ip6", "six"
		}
		rules += fmt.Sprintf("\t\toifname \"site0\" %s daddr %s counter name %s\n", family, n, counter)
	}
	r.Sh(t, "%s", "nft -f - <<'END'\n"+rules+"\t}\n}\nEND")
	return func() int {
		t.Helper()
		n := 0
		for _, m := range regexp.MustCompile(`packets (\d+)`).FindAllStringSubmatch(
			r.Sh(t, "nft list counters table inet leak"), -1) {
			n += must.Get(strconv.Atoi(m[1]))(t)
		}
		return n
	}
}

// Whatever ends BIRD, nothing for another site leaves by the default route, of this router's own or
// of a node's that it forwards. Without the floor it does, which shows that the count counts.
func TestNothingLeavesWithoutBird(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	p1 := l.byName["p1"]
	node := newNamespace(t, "node")
	nettest.Cable(t, p1.Namespace, "n0", node.Namespace, "eth0")
	p1.IP(t, "link", "set", "n0", "master", "site0", "up")
	node.IP(t, "link", "set", "eth0", "up")
	for _, address := range []string{"10.1.1.99/24", "fd00:1::1:99/64"} {
		node.IP(t, "addr", "add", address, "dev", "eth0", "nodad")
	}
	node.IP(t, "route", "add", "default", "via", "10.1.1.11")
	node.IP(t, "-6", "route", "add", "default", "via", "fd00:1::1:11")
	p1.IP(t, "route", "add", "default", "via", "10.1.1.98")
	p1.IP(t, "-6", "route", "add", "default", "via", "fd00:1::1:98")
	for _, neighbour := range []string{"10.1.1.98", "fd00:1::1:98"} { // the cloud's router takes everything
		p1.IP(t, "neigh", "add", neighbour, "lladdr", "02:00:00:00:00:01", "dev", "site0")
	}
	for i, r := range l.routers { // start, with a daemon that can be ended
		require.NoError(t, os.WriteFile(r.conf(), r.text(t), 0o644), i)
	}
	l.byName["q1"].namespace.start(t)
	daemon := p1.namespace.start(t)
	l.established(t)
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "q1", "p1 fd00:2::/48": "q1"})

	for _, to := range []string{"10.2.1.12", "fd00:2::1:12"} {
		for _, from := range []namespace{node, p1.namespace} {
			from.Start(t, "ping", "-q", "-i", "0.002", to)
		}
	}
	begin := func() { daemon = p1.namespace.start(t); l.established(t) }
	end := func(signal syscall.Signal) func() {
		return func() {
			require.NoError(t, daemon.Process.Signal(signal))
			_ = daemon.Wait()
			time.Sleep(200 * time.Millisecond)
		}
	}
	leaks := p1.leaks(t)
	end(syscall.SIGTERM)()
	nettest.Eventually(t, "something leaves without the floor, or this test shows nothing", func() string {
		if leaks() == 0 {
			return "nothing left"
		}
		return ""
	})
	p1.Sh(t, "nft delete table inet leak")
	p1.floor(t)
	begin()
	leaks = p1.leaks(t)
	for range rounds() {
		for name, stop := range map[string]func(){
			"stopped": end(syscall.SIGTERM), "killed": end(syscall.SIGKILL),
			"without a way": func() {
				l.cut(t, "p1", "q1")
				time.Sleep(time.Second)
				l.mend(t, "p1", "q1")
				end(syscall.SIGTERM)()
			},
		} {
			stop()
			begin()
			require.Zero(t, leaks(), name)
		}
	}
	t.Logf("%d rounds each of stopped, killed, without a way: no packet", rounds())
}

// rounds is how often each case is tried; a run for the record asks for more.
func rounds() int {
	if n, err := strconv.Atoi(os.Getenv("WGMESH_FLOOR_ROUNDS")); err == nil {
		return n
	}
	return 2
}

// BIRD's parser takes every configuration that Validate accepts.
func FuzzParserTakes(f *testing.F) {
	seed(f)
	installed, _ := bird.Installed(f.Context())
	f.Fuzz(func(t *testing.T, name, router, iface, site, staticIface, network, via, address,
		address6 string, as, med, limit int,
	) {
		nettest.Need(t, "bird")
		c := fuzzed(name, router, iface, site, staticIface, network, via, address, address6, as, med, limit)
		c.Version = installed
		if c.Validate() != nil || c.Sayable() != nil {
			return
		}
		text := bird.Render(c, bird.Sources{})
		require.NoError(t, bird.Check(t.Context(), text), "%q", text)
	})
}

// A router may be called like any word that is in the program, and BIRD takes its protocol.
func TestParserTakesAnyName(t *testing.T) {
	program := must.Get(exec.LookPath("bird"))(t)
	// .ci/birds has a script, and the program beside it.
	if packed := filepath.Join(filepath.Dir(program), "usr/sbin/bird"); must.Err(os.Stat(packed)) == nil {
		program = packed
	}
	name, taken, text := plan.Name{First: plan.Letters, Rest: plan.Alphanumeric + "_", Most: 40}, map[string]bool{}, ""
	for word := range bytes.SplitSeq(must.Get(os.ReadFile(program))(t), []byte{0}) {
		word = word[max(0, len(word)-40):]
		for at := range word { // the end of a word may be another one
			if w := string(word[at:]); name.Fits(w) && !taken[plan.ProtocolName(w)] {
				taken[plan.ProtocolName(w)] = true
				text += fmt.Sprintf("protocol static %s { ipv4; }\n", plan.ProtocolName(w))
			}
		}
	}
	require.True(t, taken["_gateway"], "%s has BIRD's words", program)
	err := bird.Check(t.Context(), []byte("router id 192.0.2.1;\n"+text))
	if err != nil {
		at := regexp.MustCompile(`/dev/stdin:(\d+)`).FindStringSubmatch(err.Error())
		require.NotNil(t, at, err)
		t.Error(strings.Split(text, "\n")[must.Get(strconv.Atoi(at[1]))(t)-2], err)
	}
}

// An interface may have the name of a word of BIRD's, which only BIRD 2.0 cannot name beside a
// next hop.
func TestInterfaceIsAWord(t *testing.T) {
	installed := must.Get(bird.Installed(t.Context()))(t)
	for _, name := range []string{"eth0", "gateway", "roa", "rts"} {
		for network, via := range map[string]netip.Addr{
			"10.97.0.0/16": {}, "10.98.0.0/16": netip.MustParseAddr("10.0.0.1"),
			"2001:db8:99::/48": netip.MustParseAddr("fe80::1"),
		} {
			c, _ := load(t, "testdata/dual")
			c.Version = installed
			c.Static = append(c.Static[:2], plan.Static{
				Network: netip.MustParsePrefix(network), Via: via, Interface: name,
			})
			require.NoError(t, c.Validate(), "%s %s", name, via)
			if name == "gateway" && via.IsValid() && installed.Minor == 0 {
				require.ErrorContains(t, c.Sayable(), "cannot name gateway beside a next hop")
				continue
			}
			require.NoError(t, c.Sayable())
			assert.NoError(t, bird.Check(t.Context(), bird.Render(c, bird.Sources{})), "%s %s", name, via)
		}
	}
}
