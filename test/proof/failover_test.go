//go:build lab

package proof_test

import (
	"cmp"
	"fmt"
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
		if e.alone == "" {
			arrive(time.Now())
		}
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
		first := outage.Gap(list, made, mended)
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
