//go:build lab

package proof_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
)

// drawn is how many faults of a kind a run has, where it is not all of them.
const drawn = 3

// choice is what the command line chose: RUNS, SEED, ONLY and BFD of make failover.
type choice struct {
	runs int
	seed uint64
	only []string
	bfd  []string
}

func (o choice) String() string {
	return fmt.Sprintf(" RUNS=%d SEED=%d ONLY=%s BFD=%s", o.runs, o.seed, strings.Join(o.only, ","),
		strings.Join(o.bfd, ","))
}

func chosen(t *testing.T) choice { return chosenOf(t, kinds) }

// chosenOf is what the command line chose of some kinds.
func chosenOf(t *testing.T, kinds []string) choice {
	t.Helper()
	list := func(name string, all []string) []string {
		text := os.Getenv(name)
		if text == "" {
			return all
		}
		out := strings.Split(text, ",")
		for _, word := range out {
			require.Contains(t, all, word, "%s", name)
		}
		return out
	}
	number := func(name, otherwise string) int {
		return must.Get(strconv.Atoi(cmp.Or(os.Getenv(name), otherwise)))(t, "%s: want a number", name)
	}
	return choice{
		runs: number("RUNS", "1"), seed: uint64(number("SEED", "1")),
		only: list("ONLY", kinds), bfd: list("BFD", []string{"normal", "fast"}),
	}
}

// An event is a fault in one run, and the dice that the seed gives it.
type event struct {
	fault
	run  int
	dice *rand.Rand
}

// events are the faults of all runs: in each every router and every tunnel, and some of
// each other kind, in the seed's order.
func (o choice) events(c aCase) (out []event) {
	all := c.faults(o.only)
	for run := 1; run <= o.runs; run++ {
		dice := rand.New(rand.NewPCG(o.seed, uint64(run)))
		var list []fault
		for _, kind := range kinds {
			of := slices.Clone(all[kind])
			dice.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
			if kind != "router" && kind != "tunnel" {
				of = of[:min(drawn, len(of))]
			}
			list = append(list, of...)
		}
		dice.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for n, f := range list {
			out = append(out, event{f, run, rand.New(rand.NewPCG(o.seed, uint64(run*1000+n)))})
		}
	}
	return out
}

// TestFailover makes fault after fault on the network of the case and counts what each
// costs: make failover.
func TestFailover(t *testing.T) {
	o := chosen(t)
	c := up(t, "failover", "examples/field-case/inventory.yml").theCase(t)
	c.mesh(t)
	p := newPaper(t, c, "failover", o.String(), len(o.only) == len(kinds))
	for _, bfd := range o.bfd {
		c.mesh(t, "-e", "mesh_bfd="+bfd)
		sheet := p.failover(bfd)
		list := o.events(c)
		for n, e := range list {
			name := fmt.Sprintf("%s %d of %d, run %d: %s %s", bfd, n+1, len(list), e.run, e.kind, e.name)
			t.Run(name, func(t *testing.T) {
				r := c.suffer(t, e)
				sheet.add(r)
				t.Log(r)
			})
			p.write(t)
		}
	}
}

// A result is what one fault cost.
type result struct {
	kind  string
	pairs int
	gap   time.Duration // the longest of any pair, while the fault was there
	worst pair
	again time.Duration // and after it was mended
	back  time.Duration // until the last session that it touched was up
	boot  time.Duration // of hosts that had no power: until BIRD ran, and back is from there
	false []string      // sessions that fell, and it did not touch them
	load  string
	// of a cluster that is written to
	acked, lost, elections, leaders int
}

func (r result) String() string {
	return fmt.Sprintf(
		"gap %d ms (%s to %s), after the repair %d ms; sessions back after %.2f s; boot %.1f s; "+
			"false alarms %v; load %s",
		r.gap.Milliseconds(), r.worst.from, r.worst.to, r.again.Milliseconds(), r.back.Seconds(),
		r.boot.Seconds(), r.false, r.load)
}

// suffer lets a fault happen under traffic, waits until packets arrive in spite of it,
// mends it, and waits until the whole mesh is well.
func (c aCase) suffer(t *testing.T, e event) result {
	t.Helper()
	c.waitWhole(t)
	r := result{kind: e.kind, load: load()}
	if e.alone != "" {
		r.kind += "-alone"
	}
	pairs := c.pairs(e.fault, e.dice)
	r.pairs = len(pairs)
	var streams []*stream
	for _, p := range pairs {
		streams = append(streams, c.streamTo(t, "0.01", p.from, c.hosts[p.to].Address))
	}
	arrive := func(since time.Time) {
		require.Eventually(t, func() bool {
			return !slices.ContainsFunc(streams, func(s *stream) bool {
				list := outage.Answers(s.out.String())
				return len(list) == 0 || list[len(list)-1].At.Before(since)
			})
		}, time.Minute, 100*time.Millisecond, "packets do not arrive")
	}
	arrive(time.Now())
	time.Sleep(500*time.Millisecond + time.Duration(e.dice.IntN(1000))*time.Millisecond)

	made := time.Now()
	e.make(t)
	if !e.mends {
		time.Sleep(2 * time.Second) // BFD has noticed by then, if it does at all
	}
	over := time.Now() // what is lost after it, if packets arrive, is lost by the repair
	if !e.mends && e.alone == "" {
		arrive(over)
	}
	mended := time.Now()
	e.mend(t)
	c.waitWhole(t)
	arrive(time.Now())
	time.Sleep(500 * time.Millisecond)
	for _, s := range streams {
		s.end()
	}
	end := time.Now()
	for i, s := range streams {
		list := s.answers(t)
		first := outage.Gap(list, made, over)
		if e.mends || e.alone != "" {
			first = outage.Gap(list, made, end)
		} else {
			r.again = max(r.again, outage.Gap(list, mended, end))
		}
		if first > r.gap || i == 0 {
			r.gap, r.worst = first, pairs[i]
		}
	}
	c.sessionsAfter(t, e, made, mended, &r)
	return r
}

// sessionsAfter says when the sessions that a fault touched were back, and which others fell.
func (c aCase) sessionsAfter(t *testing.T, e event, made, mended time.Time, r *result) {
	t.Helper()
	from := mended
	for _, host := range e.off {
		if slices.Contains(c.routers, host) {
			from = maxTime(from, c.birdSince(t, host))
		}
	}
	r.boot = from.Sub(mended)
	last := from
	for host, text := range c.onPowered(t, "birdc show protocols; birdc show bfd sessions") {
		seen := outage.Detections(text, time.Now())
		for _, s := range outage.Sessions(text, time.Now()) {
			switch {
			case e.touches(host, s.Peer):
				last = maxTime(last, maxTime(s.Since, seen[c.tunnel(host, s.Peer)]))
			case s.Since.After(made):
				r.false = append(r.false, host+" to "+s.Peer)
			}
		}
	}
	slices.Sort(r.false)
	r.back = last.Sub(from)
}

// birdSince is when the BIRD of a router began to run.
func (c aCase) birdSince(t *testing.T, host string) time.Time {
	t.Helper()
	out := c.in(t, host, "cat /proc/uptime; date +%s%3N; cat /proc/$(pidof bird)/stat")
	f := strings.Fields(out) // uptime, idle time, the clock, and the 22nd of stat(5)
	require.Greater(t, len(f), 3+21, out)
	uptime := must.Get(strconv.ParseFloat(f[0], 64))(t)
	now := must.Get(strconv.ParseInt(f[2], 10, 64))(t)
	ticks := must.Get(strconv.ParseFloat(f[3+21], 64))(t)
	return time.UnixMilli(now - int64(1000*(uptime-ticks/100)))
}

// waitWhole waits until every session of every router is up.
func (c aCase) waitWhole(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return len(c.onPowered(t, whole(len(c.routers)-1))) == len(c.routers)
	}, 3*time.Minute, 200*time.Millisecond, "not all sessions are up")
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return strings.Fields(string(text) + " ?")[0]
}

// A fault is what is done to the network of the case, and how it is undone.
type fault struct {
	kind, name string
	// dead are the routers that carry nothing meanwhile, near those that it strikes:
	// the nodes of their zones are watched.
	dead, near []string
	// touches reports whether the session of two routers may fall by it.
	touches func(a, b string) bool
	// alone is the site that has no other router; only its packets are looked at then.
	alone string
	off   []string // hosts without power
	// mends says that it passes by itself: what it costs is counted until all is well.
	mends      bool
	make, mend func(t *testing.T)
}

// The kinds of faults, in the order of the table.
var kinds = []string{
	"router", "tunnel", "one-way", "flap", "bird-killed", "bird-stopped", "interface", "zone", "site", "underlay",
}

// What each kind is, in the words of the table.
var kindWords = map[string]string{
	"router":       "a router's power is cut",
	"tunnel":       "a tunnel loses everything, both ways",
	"one-way":      "a tunnel loses everything, one way",
	"flap":         "a tunnel flaps, 1 Hz for 10 s",
	"bird-killed":  "BIRD is killed",
	"bird-stopped": "BIRD is stopped (SIGSTOP)",
	"interface":    "a tunnel's interface is removed",
	"zone":         "a zone's power is cut",
	"site":         "a site's power is cut",
	"underlay":     "two sites lose all their tunnels",
}

// aCase is the network of the case on a lab.
type aCase struct {
	lab
	hosts map[string]node
	sites []string
}

func (l lab) theCase(t *testing.T) aCase {
	t.Helper()
	c := aCase{lab: l, hosts: l.addresses(t)}
	for _, r := range l.routers {
		if !slices.Contains(c.sites, c.hosts[r].Site) {
			c.sites = append(c.sites, c.hosts[r].Site)
		}
	}
	return c
}

// at are the routers or nodes of a site, and of a zone of it where one is named.
func (c aCase) at(hosts []string, site, zone string) (out []string) {
	for _, h := range hosts {
		if c.hosts[h].Site == site && (zone == "" || c.hosts[h].Zone == zone) {
			out = append(out, h)
		}
	}
	return out
}

// tunnel is the interface between two routers, on both of them.
func (c aCase) tunnel(a, b string) string {
	low, high := c.hosts[a].ID, c.hosts[b].ID
	if low > high {
		low, high = high, low
	}
	return fmt.Sprintf("wg%d", (high-1)*(high-2)/2+low)
}

// faults are all of some kinds: 7 routers, 21 tunnels, and whatever else there is.
func (c aCase) faults(of []string) map[string][]fault {
	out := map[string][]fault{}
	add := func(f fault) {
		if slices.Contains(of, f.kind) {
			out[f.kind] = append(out[f.kind], f)
		}
	}
	for i, r := range c.routers {
		add(c.powerless("router", r, []string{r}, nil))
		for _, f := range c.birds(r) {
			add(f)
		}
		for _, other := range c.routers[:i] {
			for _, f := range c.tunnels(other, r) {
				add(f)
			}
		}
	}
	for i, site := range c.sites {
		routers := c.at(c.routers, site, "")
		add(c.powerless("site", site, routers, c.at(c.nodes, site, "")))
		zones := map[string]bool{}
		for _, r := range routers {
			zones[c.hosts[r].Zone] = true
		}
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			if len(zones) > 1 { // else it is the site
				add(c.powerless("zone", site+" "+zone, c.at(c.routers, site, zone), c.at(c.nodes, site, zone)))
			}
		}
		for _, other := range c.sites[:i] {
			add(c.underlay(other, site))
		}
	}
	return out
}

// powerless cuts the power of routers and nodes.
func (c aCase) powerless(kind, name string, routers, nodes []string) fault {
	off := slices.Concat(routers, nodes)
	return fault{
		kind: kind, name: name, dead: routers, near: routers, off: off, touches: one(routers),
		make: func(t *testing.T) {
			for _, host := range off {
				c.tool(t, "stop", host)
			}
		},
		mend: func(t *testing.T) {
			for _, host := range off {
				c.tool(t, "start", host)
			}
		},
	}
}

// birds are what may happen to a router's BIRD. A router whose site has no other one
// has a kind of its own: nobody can stand in for it.
func (c aCase) birds(r string) []fault {
	killed := fault{
		kind: "bird-killed", name: r, mends: true,
		make: func(t *testing.T) { c.in(t, r, "systemctl kill -s KILL bird") },
		mend: func(*testing.T) {},
	}
	stopped := fault{
		kind: "bird-stopped", name: r,
		make: func(t *testing.T) { c.in(t, r, "kill -STOP $(pidof bird)") },
		mend: func(t *testing.T) { c.in(t, r, "kill -CONT $(pidof bird)") },
	}
	out := []fault{killed, stopped}
	for i := range out {
		out[i].near, out[i].touches = []string{r}, one([]string{r})
		if len(c.at(c.routers, c.hosts[r].Site, "")) == 1 {
			out[i].alone = c.hosts[r].Site
		}
	}
	return out
}

// tunnels are what may happen to the tunnel of two routers.
func (c aCase) tunnels(a, b string) []fault {
	wg := c.tunnel(a, b)
	base := fault{
		name: wg + " " + a + "-" + b, near: []string{a, b},
		touches: func(x, y string) bool { return x == a && y == b || x == b && y == a },
	}
	lost, oneWay, flap, removed := base, base, base, base
	lost.kind, oneWay.kind, flap.kind, removed.kind = "tunnel", "one-way", "flap", "interface"
	lost.make = func(t *testing.T) { c.tool(t, "cut", a, b) }
	lost.mend = func(t *testing.T) { c.tool(t, "join", a, b) }

	port := "p=$(wg show " + wg + " listen-port); "
	const table = "add table inet outage; add chain inet outage in { type filter hook input priority -300; }; " +
		"add rule inet outage in udp dport $p drop"
	const gone = "nft delete table inet outage"
	oneWay.make = func(t *testing.T) { c.in(t, a, port+`nft "`+table+`"`) }
	oneWay.mend = func(t *testing.T) { c.in(t, a, gone) }
	flap.mends, flap.mend = true, func(*testing.T) {}
	flap.make = func(t *testing.T) {
		c.in(t, a, port+`for n in 1 2 3 4 5 6 7 8 9 10; do nft "`+table+`"; sleep 0.5; `+gone+`; sleep 0.5; done`)
	}
	removed.make = func(t *testing.T) { c.in(t, a, "ip link del "+wg) }
	removed.mend = func(t *testing.T) { c.in(t, a, "systemctl restart wg-quick@"+wg) }
	return []fault{lost, oneWay, flap, removed}
}

// underlay loses everything that goes straight from one site to another.
func (c aCase) underlay(a, b string) fault {
	return fault{
		kind: "underlay", name: a + "-" + b, near: slices.Concat(c.at(c.routers, a, ""), c.at(c.routers, b, "")),
		touches: func(x, y string) bool {
			s, u := c.hosts[x].Site, c.hosts[y].Site
			return s == a && u == b || s == b && u == a
		},
		make: func(t *testing.T) { c.tool(t, "cut", a, b) },
		mend: func(t *testing.T) { c.tool(t, "join", a, b) },
	}
}

func one(routers []string) func(a, b string) bool {
	return func(a, b string) bool { return slices.Contains(routers, a) || slices.Contains(routers, b) }
}

// A pair are two nodes of different sites.
type pair struct{ from, to string }

// pairs chooses two nodes for each two sites that have a router and a node during the
// fault: those of the zones that it strikes where it can, else by the dice.
func (c aCase) pairs(f fault, dice *rand.Rand) (out []pair) {
	pick := func(site string) string {
		var nodes, near []string
		for _, n := range c.at(c.nodes, site, "") {
			if slices.Contains(f.off, n) {
				continue
			}
			nodes = append(nodes, n)
			if slices.ContainsFunc(f.near, func(r string) bool {
				return c.hosts[r].Site == site && c.hosts[r].Zone == c.hosts[n].Zone
			}) {
				near = append(near, n)
			}
		}
		if len(near) > 0 {
			nodes = near
		}
		if len(nodes) == 0 || !slices.ContainsFunc(c.at(c.routers, site, ""), func(r string) bool {
			return !slices.Contains(f.dead, r)
		}) {
			return ""
		}
		return nodes[dice.IntN(len(nodes))]
	}
	for i, a := range c.sites {
		for _, b := range c.sites[:i] {
			if f.alone != "" && f.alone != a && f.alone != b {
				continue
			}
			if from, to := pick(b), pick(a); from != "" && to != "" {
				out = append(out, pair{from, to})
			}
		}
	}
	return out
}

// onPowered runs a shell command on all routers at once and returns what each said;
// nothing of one that does not answer.
func (c aCase) onPowered(t *testing.T, script string) map[string]string {
	t.Helper()
	return c.atOnce(func(r string) (string, bool) {
		text, err := c.try(t, "exec", r, script)
		return text, err == nil
	})
}
