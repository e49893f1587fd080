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
		"a session came up while looking": {8 * time.Second, up(time.Time{}, "Established", ago(-time.Second)), false},
		"the clock was set back since":    {8 * time.Second, up(now.Add(time.Hour), "Active", ""), false},
		"a session came up on a past day": {8 * time.Second, up(time.Time{}, "Established", "2026-01-02"), true},
		"a session came up before":        {8 * time.Second, up(time.Time{}, "Established", ago(time.Hour)), true},
	} {
		w := watch{settle: 6 * time.Second, since: now.Add(-c.waited)}
		assert.Equal(t, c.want, w.settles(&c.seen, Report{}), name)
		assert.False(t, w.moved.After(time.Now()), name)
	}
}

// BIRD is asked a moment after the look began, which may be on the day before.
func TestClock(t *testing.T) {
	for since, want := range map[string]string{
		"23:59:58.5": "2026-11-22 23:59:58.5", "23:59:59.9": "2026-11-22 23:59:59.9", "00:00:01": "2026-11-23 00:00:01",
		"04:30:00": "2026-11-22 04:30:00", "2026-11-20": "0001-01-01 00:00:00",
	} {
		o := Observation{At: time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)}
		assert.Equal(t, want, o.clock(since).Format("2006-01-02 15:04:05.999"), since)
	}
	// A BIRD that was started before the time zone changed goes by the one before.
	tokyo := time.FixedZone("JST", 9*60*60)
	o := Observation{
		At:      time.Date(2026, 11, 23, 8, 0, 10, 0, tokyo),
		BirdNow: ParseNow("BIRD 2.0.12\nCurrent server time is 2026-11-22 23:00:10.250\nDaemon is up\n"),
	}
	for since, ago := range map[string]time.Duration{
		"22:59:58.250": 12 * time.Second, "23:00:10.250": 0,
		"00:30:00.250": 22*time.Hour + 30*time.Minute + 10*time.Second,
	} {
		assert.Equal(t, ago, o.At.Sub(o.clock(since)), since)
	}
	assert.True(t, ParseNow("Current server time is later\n").IsZero())
	o = Observation{At: time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC)}
	assert.Equal(t, "2026-11-22 23:00:00", o.clock("23:00:00").Format(time.DateTime))
}
