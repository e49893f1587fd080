package outage

import (
	"strings"
	"time"
)

// A Session is one end of a tunnel as BIRD sees it.
type Session struct {
	Peer  string // a router
	Up    bool
	Since time.Time // when it came into this state
}

// Sessions reads `birdc show protocols` at a moment that is not before what it says. BIRD
// says the time of day alone, of the last 20 hours; what is older has a date, and no
// fault of ours made it.
func Sessions(text string, now time.Time) []Session {
	var out []Session
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 || f[1] != "BGP" {
			continue
		}
		out = append(out, Session{
			Peer:  strings.ReplaceAll(f[0], "_", "-"),
			Up:    len(f) > 5 && f[5] == "Established",
			Since: timeOfDay(f[4], now),
		})
	}
	return out
}

// Detections reads `birdc show bfd sessions` in the same way, by interface.
func Detections(text string, now time.Time) map[string]time.Time {
	out := map[string]time.Time{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 3 && f[2] == "Up" {
			out[f[1]] = timeOfDay(f[3], now)
		}
	}
	return out
}

func timeOfDay(text string, now time.Time) time.Time {
	clock, err := time.Parse("15:04:05.000", text)
	if err != nil {
		return time.Time{}
	}
	now = now.UTC()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	at := midnight.Add(clock.Sub(clock.Truncate(24 * time.Hour)))
	if at.After(now.Add(time.Second)) {
		at = at.AddDate(0, 0, -1)
	}
	return at
}
