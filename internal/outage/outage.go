// Package outage reckons what a fault costs: how long packets went without an answer,
// and when the sessions of BIRD were back. It measures nothing itself; it reads what
// ping and birdc have printed.
package outage

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Answer is one answer to a numbered ping.
type Answer struct {
	Number int
	At     time.Time
}

var answer = regexp.MustCompile(`(?m)^\[(\d+)\.(\d{6})\] \d+ bytes from .*icmp_seq=(\d+) `)

// Answers reads the output of `ping -D`, in the order in which the answers came. What was answered
// twice counts once. A number of 16 bits begins anew at 0 (RFC 792); here it goes on.
func Answers(text string) []Answer {
	const turn = 1 << 16
	var out []Answer
	seen := map[int]bool{}
	last := 0
	for _, m := range answer.FindAllStringSubmatch(text, -1) {
		seconds, _ := strconv.ParseInt(m[1], 10, 64)
		micros, _ := strconv.ParseInt(m[2], 10, 64)
		n, _ := strconv.Atoi(m[3])
		n += (last - n + turn/2) / turn * turn // the nearest to the one before
		last = n
		if !seen[n] {
			seen[n] = true
			out = append(out, Answer{n, time.UnixMicro(seconds*1e6 + micros)})
		}
	}
	return out
}

// Lost counts the pings without an answer between the first and the last answer.
func Lost(list []Answer) int {
	if len(list) == 0 {
		return 0
	}
	first, last := list[0].Number, list[0].Number
	for _, a := range list {
		first, last = min(first, a.Number), max(last, a.Number)
	}
	return last - first + 1 - len(list)
}

// Losses says which pings have no answer, and between which two answers that was.
func Losses(list []Answer) string {
	var out []string
	sorted := slices.SortedFunc(slices.Values(list), func(a, b Answer) int { return a.Number - b.Number })
	for i, b := range sorted[min(1, len(sorted)):] {
		if a := sorted[i]; b.Number > a.Number+1 {
			out = append(out, fmt.Sprintf("%d from %s to %s", b.Number-a.Number-1,
				a.At.UTC().Format("15:04:05.000"), b.At.UTC().Format("15:04:05.000")))
		}
	}
	return strings.Join(out, ", ")
}

// Longest is the longest time between one answer and the next.
func Longest(list []Answer) (from, to time.Time) {
	for i, a := range list[min(1, len(list)):] {
		if a.At.Sub(list[i].At) > to.Sub(from) {
			from, to = list[i].At, a.At
		}
	}
	return from, to
}

// Gap is the longest time between two answers that has pings between them which nobody
// answered, and that ends after a moment and begins before another one. A machine that
// is merely slow answers late and makes no gap.
func Gap(list []Answer, after, before time.Time) time.Duration {
	answered := map[int]bool{}
	for _, a := range list {
		answered[a.Number] = true
	}
	var longest time.Duration
	for i, b := range list[min(1, len(list)):] {
		a := list[i]
		if b.At.After(after) && a.At.Before(before) && missing(answered, a.Number, b.Number) {
			longest = max(longest, b.At.Sub(a.At))
		}
	}
	return longest
}

func missing(answered map[int]bool, from, to int) bool {
	for n := from + 1; n < to; n++ {
		if !answered[n] {
			return true
		}
	}
	return false
}

// Quantile is the smallest value that at least this share of all values does not
// exceed: of fewer than 100 values, that of 0.99 is the largest. Of none it is zero.
func Quantile[T cmp.Ordered](values []T, share float64) T {
	var none T
	if len(values) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(share*float64(len(sorted)) - 1e-9))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// A Session is one end of a tunnel as BIRD sees it.
type Session struct {
	Peer  string // a router
	Up    bool
	Since time.Time // when it came into this state
}

// Sessions reads `birdc show protocols` at a moment that is not before what it says. BIRD says the
// time of day alone, of the last 20 hours; what is older has a date, and no fault of ours made it.
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
