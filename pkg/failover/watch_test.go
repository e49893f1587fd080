package failover_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/failover"
	"github.com/wgmesh/router/pkg/plan"
)

// peer makes up a router with its session: the interface is the router's name.
func peer(name string) plan.FailoverPeer {
	return plan.FailoverPeer{Name: name, BFDSession: session(name)}
}

func session(name string) plan.BFDSession {
	return plan.BFDSession{Interface: name, Address: netip.MustParseAddr("172.31.0.1")}
}

// partner is "NAME:TABLE,TABLE:BEFORE,BEFORE".
func partner(text string) plan.FailoverPartner {
	list := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) }
	f := append(strings.Split(text, ":"), "", "")
	return plan.FailoverPartner{FailoverPeer: peer(f[0]), Tables: list(f[1]), Before: list(f[2])}
}

func config(router, table string, partners ...string) failover.Config {
	c := failover.Config{
		Failover: plan.Failover{
			Router: router, Tables: []string{table}, After: 300,
			Peers: []plan.FailoverPeer{peer("office-1"), peer("gcp-1")},
		},
		BackAfter: 30, StartAfter: 10,
	}
	for _, p := range partners {
		c.Partners = append(c.Partners, partner(p))
	}
	return c
}

// seen is the sessions to these routers, of which those with "~" are drained; "-" is a
// BIRD that does not answer, and "~" that of a router that is drained itself.
func seen(up string) *failover.Seen {
	if up == "-" {
		return nil
	}
	s := &failover.Seen{Up: map[plan.BFDSession]bool{}, Drained: map[plan.BFDSession]bool{}}
	for word := range strings.FieldsSeq(up) {
		name, drained := strings.CutSuffix(word, "~")
		if name == "" {
			s.Self = true
			continue
		}
		s.Up[session(name)], s.Drained[session(name)] = true, drained
	}
	return s
}

const (
	step = 100 * time.Millisecond
	all  = "office-1 gcp-1 aws-2 aws-3"
)

// at is what is seen from a moment on, in seconds.
type at struct {
	seconds float64
	up      string
}

// events reads "SECOND SEEN, SECOND SEEN", where "all" stands for all of them.
func events(text string) (out []at) {
	for each := range strings.SplitSeq(text, ", ") {
		var e at
		if _, err := fmt.Sscan(each, &e.seconds); err == nil {
			_, e.up, _ = strings.Cut(strings.Replace(each, "all", all, 1), " ")
			out = append(out, e)
		}
	}
	return out
}

// watch lets a Watch see these events for so many seconds and lists what it says and
// orders, each with its moment in seconds.
func watch(c failover.Config, events []at, seconds float64) []string {
	began := time.Unix(1_000_000, 0)
	w := failover.NewWatch(c, began)
	var out []string
	up, last := "-", map[string]int{}
	for now := time.Duration(0); now.Seconds() <= seconds; now += step {
		for len(events) > 0 && now.Seconds() >= events[0].seconds {
			up, events = events[0].up, events[1:]
		}
		orders, news := w.Step(began.Add(now), seen(up))
		for _, line := range news {
			out = append(out, fmt.Sprintf("%.1f %s", now.Seconds(), line))
		}
		for _, o := range orders {
			if last[o.Table] < o.Number {
				out = append(out, fmt.Sprintf("%.1f %s! %s", now.Seconds(), o.Table, o.Why))
				last[o.Table] = o.Number
			}
		}
	}
	return out
}

func TestWatch(t *testing.T) {
	const (
		reach   = "0.0 other sites are in reach"
		settled = "30.0 rtb-a! well for 30 s"
		last    = "this router is drained, and its site has no other one: other sites are in reach by it alone"
		alone   = "no router of another site is in reach: leaving the route tables as they are"
	)
	two := config("aws-1", "rtb-a", "aws-2:rtb-c")
	three := config("aws-3", "rtb-d", "aws-1:rtb-a:aws-2", "aws-2:rtb-c:aws-1")
	for name, tt := range map[string]struct {
		config failover.Config
		events string
		until  float64
		want   []string
	}{
		"all is well": {two, "0 all", 100, []string{
			reach, settled, "90.0 rtb-a! looking after its own tables",
		}},
		"the partner is drained, reboots and is drained no more": {
			two, "0 all, 40 office-1 gcp-1 aws-2~, 45 office-1 gcp-1, 55 office-1 gcp-1 aws-2~, 60 all", 70,
			[]string{
				reach, settled, "40.0 aws-2 is drained: taking rtb-c",
				"40.0 rtb-c! aws-2 is drained", "40.0 rtb-a! aws-2 is drained", "60.0 aws-2 is up again",
			},
		},
		"this router is drained, and no more": {two, "0 all, 40 ~ all, 50 all", 81, []string{
			reach, settled, "40.0 this router is drained: leaving the route tables to the others",
			"50.0 other sites are in reach", "80.0 rtb-a! well for 30 s",
		}},
		"this router is drained, and its partner dies": {
			two,
			"0 all, 40 ~ all, 50 ~ office-1, 85 ~ -1, 87 ~ office-1, 150 ~ office-1 aws-2, 200 office-1 aws-2", 231,
			[]string{
				reach, settled, "40.0 this router is drained: leaving the route tables to the others",
				"80.0 " + last, "85.0 " + alone, "87.0 " + last,
				"97.0 aws-2 is down: taking rtb-c", "97.0 rtb-c! aws-2 is down", "97.0 rtb-a! aws-2 is down",
				"117.0 rtb-a! well for 30 s",
				"150.0 this router is drained: leaving the route tables to the others",
				"200.0 other sites are in reach", "230.0 rtb-a! well for 30 s",
			},
		},
		"a drained router reboots, and its partner comes up as late as it may": {
			two, "0 ~, 5 ~ office-1, 29 ~ all", 100,
			[]string{"10.0 this router is drained: leaving the route tables to the others"},
		},
		"the partner dies": {two, "0 all, 40 office-1 gcp-1", 60, []string{
			reach, settled,
			"40.3 aws-2 is down: taking rtb-c", "40.3 rtb-c! aws-2 is down", "40.3 rtb-a! aws-2 is down",
		}},
		"and never comes back": {two, "0 all, 40 office-1", 200, []string{
			reach, settled,
			"40.3 aws-2 is down: taking rtb-c", "40.3 rtb-c! aws-2 is down", "40.3 rtb-a! aws-2 is down",
			"70.0 rtb-a! well for 30 s", "130.0 rtb-a! looking after its own tables",
			"190.0 rtb-a! looking after its own tables",
		}},
		"and comes back, and dies again": {
			two, "0 all, 40 office-1, 50 all, 90 office-1", 95,
			[]string{
				reach, settled,
				"40.3 aws-2 is down: taking rtb-c", "40.3 rtb-c! aws-2 is down", "40.3 rtb-a! aws-2 is down",
				"50.0 aws-2 is up again", "80.0 rtb-a! well for 30 s",
				"90.3 aws-2 is down: taking rtb-c", "90.3 rtb-c! aws-2 is down", "90.3 rtb-a! aws-2 is down",
			},
		},
		"a short loss of its session": {two, "0 all, 40 office-1, 40.2 all", 69, []string{reach, settled}},
		"it flaps, each time for longer than it is granted at first": {
			two,
			"0 all, 40 office-1, 42 all, 44 office-1, 46 all, 48 office-1, " +
				"50 all, 52 office-1, 54 all, 56 office-1, 58 all", 87,
			[]string{
				reach, settled,
				"40.3 aws-2 is down: taking rtb-c", "40.3 rtb-c! aws-2 is down",
				"40.3 rtb-a! aws-2 is down", "42.0 aws-2 is up again",
				"44.6 aws-2 is down: taking rtb-c", "44.6 rtb-c! aws-2 is down",
				"44.6 rtb-a! aws-2 is down", "46.0 aws-2 is up again",
				"49.2 aws-2 is down: taking rtb-c", "49.2 rtb-c! aws-2 is down",
				"49.2 rtb-a! aws-2 is down", "50.0 aws-2 is up again",
			},
		},
		"and dies in the end": {
			two, "0 all, 40 office-1, 42 all, 44 office-1, 44.1 all, 44.2 office-1, 44.3 all, 45 office-1", 60,
			[]string{
				reach, settled,
				"40.3 aws-2 is down: taking rtb-c", "40.3 rtb-c! aws-2 is down",
				"40.3 rtb-a! aws-2 is down", "42.0 aws-2 is up again",
				"47.4 aws-2 is down: taking rtb-c", "47.4 rtb-c! aws-2 is down", "47.4 rtb-a! aws-2 is down",
			},
		},
		"we are cut off, the partner's session goes first": {
			two, "0 all, 40 office-1, 40.2", 100, []string{reach, settled, "40.2 " + alone},
		},
		"we are cut off but for the partner": {
			two, "0 all, 40 aws-2", 100, []string{reach, settled, "40.0 " + alone},
		},
		"and come back, the partner later": {two, "0 all, 40, 60 office-1, 69 all", 100, []string{
			reach, settled, "40.0 " + alone, "60.0 other sites are in reach", "99.0 rtb-a! well for 30 s",
		}},
		"and come back to a dead partner": {two, "0 all, 40, 60 office-1", 80, []string{
			reach, settled, "40.0 " + alone, "60.0 other sites are in reach",
			"70.0 aws-2 is down: taking rtb-c", "70.0 rtb-c! aws-2 is down", "70.0 rtb-a! aws-2 is down",
		}},
		"one site of two is lost": {two, "0 all, 40 gcp-1 aws-2 aws-3", 60, []string{reach, settled}},
		"BIRD is silent for a moment, and the partner dies in it": {
			two, "0 all, 40 -, 42 gcp-1", 43,
			[]string{
				reach, settled, "42.3 aws-2 is down: taking rtb-c", "42.3 rtb-c! aws-2 is down",
				"42.3 rtb-a! aws-2 is down",
			},
		},
		"BIRD is started again": {two, "0 all, 40 -, 41.5, 43 gcp-1, 46 all", 80, []string{
			reach, settled, "41.5 " + alone, "43.0 other sites are in reach", "76.0 rtb-a! well for 30 s",
		}},
		"BIRD does not come back": {two, "0 all, 40 -", 100, []string{
			reach, settled, "43.0 BIRD does not answer: leaving the route tables as they are",
		}},
		"nothing ever answers": {
			two, "", 60, []string{"10.0 BIRD does not answer: leaving the route tables as they are"},
		},
		"nobody is there at the start": {two, "0", 60, []string{"10.0 " + alone}},
		"sessions come up one after the other": {two, "0 -, 1, 4 gcp-1, 12 all", 45, []string{
			"4.0 other sites are in reach", "42.0 rtb-a! well for 30 s",
		}},
		"the partner is dead at the start": {two, "0 office-1", 20, []string{
			reach, "10.0 aws-2 is down: taking rtb-c", "10.0 rtb-c! aws-2 is down", "10.0 rtb-a! aws-2 is down",
		}},
		"another one goes first": {
			three,
			"0 office-1 aws-1 aws-2, 40 office-1 aws-2, 50 office-1, 60 office-1 aws-2, 100 office-1 aws-1 aws-2", 105,
			[]string{
				reach, "30.0 rtb-d! well for 30 s",
				"40.3 aws-1 is down: leaving rtb-a to aws-2", "40.3 rtb-d! aws-1 is down",
				"50.3 aws-1 is down: taking rtb-a", "50.3 aws-2 is down: taking rtb-c",
				"50.3 rtb-a! aws-1 is down", "50.3 rtb-c! aws-2 is down", "50.3 rtb-d! aws-2 is down",
				"60.0 aws-2 is up again", "60.0 aws-1 is down: leaving rtb-a to aws-2",
				"90.0 rtb-d! well for 30 s", "100.0 aws-1 is up again",
			},
		},
		"a partner without tables": {config("aws-1", "rtb-a", "aws-2"), "0 all, 40 office-1", 41, []string{
			reach, settled, "40.3 aws-2 is down", "40.3 rtb-a! aws-2 is down",
		}},
		"no partner": {config("aws-1", "rtb-a"), "0 all, 40, 41 all", 75, []string{
			reach, settled, "40.0 " + alone, "41.0 other sites are in reach", "71.0 rtb-a! well for 30 s",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tt.want, watch(tt.config, events(tt.events), tt.until))
		})
	}
}

// An order stands only as long as there is a reason for it.
func TestOrdersFall(t *testing.T) {
	now := time.Unix(0, 0)
	w := failover.NewWatch(config("aws-1", "rtb-a", "aws-2:rtb-c"), now)
	tables := func(seconds float64, up string) []string {
		orders, _ := w.Step(now.Add(time.Duration(seconds*float64(time.Second))), seen(up))
		var out []string
		for _, o := range orders {
			out = append(out, o.Table)
		}
		return out
	}
	tables(0, all)
	assert.Equal(t, []string{"rtb-a"}, tables(30, all))
	tables(40, "office-1")
	assert.Equal(t, []string{"rtb-c", "rtb-a"}, tables(40.3, "office-1"))
	assert.Equal(t, []string{"rtb-c", "rtb-a"}, tables(41, "-"), "BIRD is busy for a moment")
	assert.Empty(t, tables(42, all), "the partner is back")
	assert.Empty(t, tables(71, all), "ours was not settled for long enough")
	assert.Equal(t, []string{"rtb-a"}, tables(72, all))
	assert.Equal(t, []string{"rtb-a"}, tables(73, "-"))
	assert.Empty(t, tables(76, "-"), "BIRD does not answer")
	tables(77, all)
	assert.Equal(t, []string{"rtb-a"}, tables(107, all))
	assert.Empty(t, tables(108, ""), "we are alone")
}

// world is two routers of one site and the two tables between them.
type world struct {
	routers map[string]*failover.Watch
	done    map[string]int
	holder  map[string]string
	moves   []string
}

// newWorld begins with each router at its own table.
func newWorld(all ...failover.Config) *world {
	w := &world{routers: map[string]*failover.Watch{}, done: map[string]int{}, holder: map[string]string{}}
	for _, c := range all {
		w.routers[c.Router], w.holder[c.Tables[0]] = failover.NewWatch(c, time.Unix(0, 0)), c.Router
	}
	return w
}

// step lets both routers see, in the order of names, and does what they say.
func (w *world) step(now time.Duration, up map[string]string, names ...string) {
	for _, name := range names {
		orders, _ := w.routers[name].Step(time.Unix(0, 0).Add(now), seen(up[name]))
		for _, o := range orders {
			if w.done[name+o.Table] >= o.Number {
				continue
			}
			w.done[name+o.Table] = o.Number
			if w.holder[o.Table] != name {
				w.holder[o.Table] = name
				w.moves = append(w.moves, fmt.Sprintf("%.1f %s to %s", now.Seconds(), o.Table, name))
			}
		}
	}
}

// The tunnel between two routers that are both well is cut: whatever each does,
// a table is always with one that is well, it comes to rest with its own router,
// and a session that flaps does not move it again and again.
func TestSplitBrain(t *testing.T) {
	for name, between := range map[string]func(seconds float64) bool{
		"for good":    func(s float64) bool { return s < 40 },
		"for a while": func(s float64) bool { return s < 40 || s > 50 },
		"flapping":    func(s float64) bool { return s < 40 || int(s)%2 == 0 },
	} {
		for _, order := range [][]string{{"aws-1", "aws-2"}, {"aws-2", "aws-1"}} {
			t.Run(name+", "+order[0]+" first", func(t *testing.T) {
				w := newWorld(config("aws-1", "rtb-a", "aws-2:rtb-c"), config("aws-2", "rtb-c", "aws-1:rtb-a"))
				for now := time.Duration(0); now < 10*time.Minute; now += step {
					up := map[string]string{"aws-1": "office-1", "aws-2": "office-1"}
					if between(now.Seconds()) {
						up = map[string]string{"aws-1": "office-1 aws-2", "aws-2": "office-1 aws-1"}
					}
					w.step(now, up, order...)
				}
				assert.LessOrEqual(t, len(w.moves), 10, "%s", w.moves)
				if name != "flapping" { // then whoever has it keeps it
					assert.Equal(t, map[string]string{"rtb-a": "aws-1", "rtb-c": "aws-2"}, w.holder, "%s", w.moves)
				}
			})
		}
	}
}

// One of the two dies and comes back, by the same rules.
func TestDeathAndReturn(t *testing.T) {
	w := newWorld(config("aws-1", "rtb-a", "aws-2:rtb-c"), config("aws-2", "rtb-c", "aws-1:rtb-a"))
	for now := time.Duration(0); now < 5*time.Minute; now += step {
		names, up := []string{"aws-1", "aws-2"}, map[string]string{"aws-1": "office-1 aws-2", "aws-2": "office-1 aws-1"}
		switch s := now.Seconds(); {
		case s < 60:
		case s < 120: // aws-1 is dead
			names, up = []string{"aws-2"}, map[string]string{"aws-2": "office-1"}
		case s < 120.05: // it boots
			w.routers["aws-1"] = failover.NewWatch(config("aws-1", "rtb-a", "aws-2:rtb-c"), time.Unix(0, 0).Add(now))
			for key := range w.done {
				if strings.HasPrefix(key, "aws-1") {
					delete(w.done, key)
				}
			}
			fallthrough
		case s < 130:
			up = map[string]string{"aws-1": "", "aws-2": "office-1"}
		}
		w.step(now, up, names...)
	}
	assert.Equal(t, []string{"60.3 rtb-a to aws-2", "160.0 rtb-a to aws-1"}, w.moves)
}

// Whoever fell may have held the table of a third one that is dead: B holds A's, the tunnel to
// C breaks for a moment, so that C takes it as well, and then C dies.
func TestThirdTableIsTakenAgain(t *testing.T) {
	w := newWorld(config("a", "rtb-a", "b:rtb-b", "c:rtb-c:b"), config("b", "rtb-b", "a:rtb-a", "c:rtb-c:a"),
		config("c", "rtb-c", "a:rtb-a:b", "b:rtb-b:a"))
	for now := time.Duration(0); now < 3*time.Minute; now += step {
		names, up := []string{"b", "c"}, map[string]string{"b": "office-1 c", "c": "office-1 b"}
		switch s := now.Seconds(); {
		case s < 35: // A still lives
			names = []string{"a", "b", "c"}
			up = map[string]string{"a": "office-1 b c", "b": "office-1 a c", "c": "office-1 a b"}
		case s >= 60 && s < 62:
			up = map[string]string{"b": "office-1", "c": "office-1"}
		case s >= 120: // C is dead
			names, up = []string{"b"}, map[string]string{"b": "office-1"}
		}
		if now == 119*time.Second {
			assert.Equal(t, "c", w.holder["rtb-a"], "the case is not made: %s", w.moves)
		}
		w.step(now, up, names...)
	}
	assert.Equal(t, map[string]string{"rtb-a": "b", "rtb-b": "b", "rtb-c": "b"}, w.holder, "%s", w.moves)
}
