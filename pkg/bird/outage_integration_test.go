//go:build integration

package bird_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wgmesh/router/internal/nettest"
)

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
