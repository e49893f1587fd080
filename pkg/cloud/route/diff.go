package route

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/order"
)

// A slot is one prefix in one table.
type slot struct {
	table  string
	prefix netip.Prefix
}

func (s slot) String() string { return fmt.Sprintf("%s: %s", s.table, s.prefix) }

// slots are those of a want, in order.
func (w Want) slots() []slot {
	var out []slot
	for _, table := range slices.Compact(slices.Sorted(slices.Values(w.Tables))) {
		for _, prefix := range slices.CompactFunc(slices.SortedFunc(slices.Values(w.Prefixes), netip.Prefix.Compare),
			func(a, b netip.Prefix) bool {
				return a == b
			}) {
			out = append(out, slot{table, prefix})
		}
	}
	return out
}

// Diff returns the changes after which the tables are as w wants them. A prefix
// that goes to somebody else is in refused, and in no change.
func Diff(w Want, have []Route) (delta []Change, refused error) { return diff(w, w.slots(), have) }

func diff(w Want, slots []slot, have []Route) (delta []Change, refused error) {
	var failures []failure
	for _, s := range slots {
		changes, err := s.diff(w, have)
		delta = append(delta, changes...)
		if err != nil {
			failures = append(failures, failure{[]slot{s}, err})
		}
	}
	// What is added comes before what is taken away.
	order.By(delta, func(a, b Change) int {
		if gone := a.New == nil; gone != (b.New == nil) {
			if gone {
				return 1
			}
			return -1
		}
		return 0
	})
	return delta, together(failures)
}

// diff decides about one prefix in one table.
func (s slot) diff(w Want, have []Route) ([]Change, error) {
	var there []*Route // those that are ours to change, the right one first
	right := false
	for _, r := range have {
		if r.Table != s.table || r.Prefix != s.prefix || r.Beside {
			continue
		}
		switch {
		case r.Foreign != "" && !w.Absent:
			return nil, fmt.Errorf("%s: it goes to %s: "+
				"remove that route where it is made, or take the prefix out of `prefixes`", s, r.Foreign)
		case r.Foreign != "":
		case !right && r.Via == w.Via && r.Priority == w.Priority:
			right = true
			there = slices.Insert(there, 0, &r)
		default:
			there = append(there, &r)
		}
	}
	var delta []Change
	for i, r := range there {
		switch {
		case w.Absent && (w.Via == "" || r.Via == w.Via), !w.Absent && i > 0:
			delta = append(delta, Change{Old: r})
		case !w.Absent && !right:
			delta = append(delta, Change{Old: r, New: w.route(s)})
		}
	}
	if len(there) == 0 && !w.Absent {
		delta = append(delta, Change{New: w.route(s)})
	}
	return delta, nil
}

func (w Want) route(s slot) *Route {
	return &Route{Table: s.table, Prefix: s.prefix, Via: w.Via, Priority: w.Priority}
}

// After returns have as it is after the changes.
func After(have []Route, delta []Change) []Route {
	out := slices.Clone(have)
	for _, c := range delta {
		if c.Old != nil {
			out = slices.DeleteFunc(out, func(r Route) bool { return r == *c.Old })
		}
		if c.New != nil {
			out = append(out, *c.New)
		}
	}
	order.By(out, Compare)
	return out
}
