package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A router that is asked late, since Ansible has fewer forks than routers, does not
// wait for what the others have waited for, unless it saw something come up since.
func TestSettlesCountsWhatWasWaited(t *testing.T) {
	now := time.Now()
	up := func(handshake time.Time, state, since string) Observation {
		return Observation{At: now, Tunnels: []TunnelState{{
			Device: Device{Peer: &Peer{Handshake: handshake}}, Session: &Session{State: state, Since: since},
		}}}
	}
	ago := func(d time.Duration) string { return now.Add(-d).Format("15:04:05.000") }
	for name, c := range map[string]struct {
		waited time.Duration
		seen   Observation
		want   bool
	}{
		"nobody waited":                   {0, up(now.Add(-time.Minute), "Active", ""), false},
		"the others waited long enough":   {8 * time.Second, up(now.Add(-time.Minute), "Active", ago(0)), true},
		"too short":                       {4 * time.Second, up(time.Time{}, "Active", ""), false},
		"a tunnel came up since":          {8 * time.Second, up(now.Add(-time.Second), "Active", ""), false},
		"a session came up since":         {8 * time.Second, up(time.Time{}, "Established", ago(time.Second)), false},
		"a session came up on a past day": {8 * time.Second, up(time.Time{}, "Established", "2026-01-02"), true},
		"a session came up before":        {8 * time.Second, up(time.Time{}, "Established", ago(time.Hour)), true},
	} {
		w := watch{settle: 6 * time.Second, since: now.Add(-c.waited)}
		assert.Equal(t, c.want, w.settles(&c.seen, Report{}), name)
	}
}
