// Package outage reckons what a fault costs: how long packets went without an answer,
// and when the sessions of BIRD were back. It measures nothing itself; it reads what
// ping and birdc have printed.
package outage

import (
	"regexp"
	"strconv"
	"time"
)

// An Answer is one answer to a numbered ping.
type Answer struct {
	Number int
	At     time.Time
}

var answer = regexp.MustCompile(`(?m)^\[(\d+)\.(\d{6})\] \d+ bytes from .*icmp_seq=(\d+) `)

// Answers reads the output of `ping -D`, in the order in which the answers came. What
// was answered twice counts once. A number of 16 bits begins anew at 0 (RFC 792); here it
// goes on.
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
