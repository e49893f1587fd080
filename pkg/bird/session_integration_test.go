//go:build integration

package bird_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

// deafen makes the two ends of a tunnel send to a wrong hardware address:
// the interfaces stay up, and no packet arrives.
func (l *lab) deafen(t *testing.T, a, b string, deaf bool) {
	t.Helper()
	n := link(l.byName[a], l.byName[b])
	for _, r := range []*router{l.byName[a], l.byName[b]} {
		for host := 1; host <= 2; host++ {
			peer := fmt.Sprintf("172.31.%d.%d", n, host)
			if strings.Contains(r.IP(t, "addr", "show", "dev", fmt.Sprintf("wg%d", n)), peer+"/") {
				continue
			}
			if deaf {
				r.IP(t, "neigh", "replace", peer, "lladdr", "02:00:00:00:00:01", "dev",
					fmt.Sprintf("wg%d", n), "nud", "permanent")
			} else {
				r.IP(t, "neigh", "del", peer, "dev", fmt.Sprintf("wg%d", n))
			}
		}
	}
}

// A path that loses everything while its interfaces stay up is left in the
// time that BFD is set to, and used again soon after it is mended.
func TestSilentLoss(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "p2", site: 1, zone: 2}, &router{
		label: "q1", site: 2, zone: 1,
	})
	l.quickBFD()
	l.start(t)
	nettest.Eventually(t, "BFD", func() string {
		if table := l.byName["p1"].birdc(t, "show bfd sessions"); strings.Count(table, " Up ") != 2 {
			return table
		}
		return ""
	})
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "q1"})

	l.deafen(t, "p1", "q1", true)
	gap := nettest.Eventually(t, "another way", func() string {
		if via := l.via(t, l.byName["p1"], "10.2.1.0/24"); via != "p2" {
			return "goes by " + via
		}
		return ""
	})
	l.deafen(t, "p1", "q1", false)
	// Not the hold timer, which is all that is left without BFD.
	hold := time.Duration(l.byName["p1"].config.HoldTime) * time.Second
	assert.Less(t, gap, hold/2, "BFD did not notice")
	// With a device scan every 10 s it takes 4.6 to 4.8 s, on a quiet machine.
	back := nettest.Eventually(t, "the direct way again", func() string {
		if via := l.via(t, l.byName["p1"], "10.2.1.0/24"); via != "q1" {
			return "goes by " + via
		}
		return ""
	})
	t.Logf("left a silent path after %s (BFD 5 x 100 ms), was back %s after it was mended",
		gap.Round(time.Millisecond), back.Round(time.Millisecond))
}

// An interface that is made anew is found by the session without help.
func TestInterfaceMadeAnew(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	l.start(t)
	l.byName["p1"].IP(t, "link", "del", "wg1")
	l.expect(t, map[string]string{"p1 10.2.1.0/24": ""})
	p1, q1 := *l.byName["p1"], *l.byName["q1"]
	l.join(t, &p1, &q1)
	took := nettest.Eventually(t, "session", func() string {
		if via := l.via(t, l.byName["p1"], "10.2.1.0/24"); via != "q1" {
			return "goes by " + via
		}
		return ""
	})
	t.Logf("session and routes were back after %s", took.Round(10*time.Millisecond))
}

// What Disrupts foretells is what BIRD does.
func TestDisruptsIsTrue(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	l.start(t)
	p1 := l.byName["p1"]
	const aside = 500 * time.Millisecond // of a session that was up before
	since := func() string {
		for line := range strings.Lines(p1.birdc(t, "show protocols q1")) {
			if strings.HasPrefix(line, "q1 ") && strings.Contains(line, "Established") {
				return strings.Fields(line)[4]
			}
		}
		return ""
	}
	// BIRD takes the time of day from how long ago something was, each time anew: on a
	// busy machine the same moment may be 50 ms later.
	// So a session that was up before is never up since later, in the best of some looks,
	// and one that began anew is, in all of them.
	same := func(before, after string) bool {
		a, _ := time.Parse("15:04:05.999", before)
		b, err := time.Parse("15:04:05.999", after)
		later := (b.Sub(a) + 36*time.Hour) % (24 * time.Hour) // past midnight, too
		return err == nil && later-12*time.Hour < aside/2
	}
	for _, tt := range []struct {
		name   string
		change func(c *bird.Config)
	}{
		{"nothing", func(*bird.Config) {}},
		{"drain", func(c *bird.Config) { c.Drain = drain }},
		{"transit", func(c *bird.Config) { c.Transit = false }},
		{"owners", func(c *bird.Config) { c.Owners = c.Owners[:3] }},
		{"import limit", func(c *bird.Config) { c.Neighbors[0].ImportLimit = 99 }},
		{"bfd interval", func(c *bird.Config) { c.BFD.Interval = 400 }},
		{"med", func(c *bird.Config) { c.Originate[0].MED = 77 }},
		{"another neighbor", func(c *bird.Config) {
			c.Neighbors = append(c.Neighbors, plan.Neighbor{
				Name: "o1", Interface: "wg9", AS: 65003, Address: address("172.31.9.2"),
				LocalAddress: address("172.31.9.1"),
			})
		}},
		{"a neighbor within the site", func(c *bird.Config) { c.Neighbors[1].AS = c.AS }},
		{"a neighbor less", func(c *bird.Config) { c.Neighbors = c.Neighbors[:1] }},
		{"hold time", func(c *bird.Config) { c.HoldTime = 40 }},
		{"no IPv6", func(c *bird.Config) {
			c.Neighbors[0].Address6, c.Neighbors[0].LocalAddress6 = address("::"), address("::")
		}},
		{"router id", func(c *bird.Config) { c.RouterID = address("0.0.0.9") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before string
			nettest.Eventually(t, "established", func() string {
				if before = since(); before == "" {
					return p1.birdc(t, "show protocols q1")
				}
				return ""
			})
			old := must.Get(os.ReadFile(p1.conf()))(t)
			tt.change(&p1.config)
			if n := &p1.config.Neighbors[0]; n.Address6.IsUnspecified() {
				n.Address6, n.LocalAddress6 = plan.Neighbor{}.Address6, plan.Neighbor{}.Address6
			}
			time.Sleep(aside)
			l.configure(t, p1)
			disrupts := slices.Contains(bird.Disrupts(old, p1.text(t)), "q1")
			time.Sleep(200 * time.Millisecond) // which it may use to do what it should not
			nettest.Eventually(t, fmt.Sprintf("session restarted: %v", disrupts), func() string {
				if after := since(); same(before, after) == disrupts {
					return fmt.Sprintf("it was up since %s before, and since %q after", before, after)
				}
				return ""
			})
		})
	}
}

// A path that carries nothing for a while, on a link that stays up: the session is back
// within seconds.
func TestSessionComesBack(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	l.quickBFD()
	l.start(t)
	p1 := l.byName["p1"]
	gone := func() {
		nettest.Eventually(t, "the session is down", func() string {
			if out := p1.birdc(t, "show protocols q1"); !strings.Contains(out, "Established") {
				return ""
			}
			return "still up"
		})
	}
	up := func() time.Duration {
		return nettest.Eventually(t, "BFD is up", func() string {
			if out := p1.birdc(t, "show bfd sessions"); !strings.Contains(out, " Up ") {
				return out
			}
			return ""
		})
	}
	up()
	for _, pause := range []time.Duration{0, 3 * time.Second} {
		p1.Sh(t,
			"nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }; "+
				"add chain inet cut out { type filter hook output priority 0; policy drop; }'")
		gone()
		time.Sleep(pause)
		p1.Sh(t, "nft delete table inet cut")
		took := l.established(t)
		bfd := up()
		t.Logf("after %s without packets: back in %s, BFD %s later", pause,
			took.Round(10*time.Millisecond), bfd.Round(10*time.Millisecond))
	}
}
