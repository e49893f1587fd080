package ansible

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Required is for Validate methods. It takes pairs of an option's name and its
// value and reports those that are not set: zero, or an empty list or map.
//
//	ansible.Required("name", o.Name, "tunnels", o.Tunnels)
func Required(pairs ...any) error {
	var errs []error
	for name, set := range options(pairs) {
		if !set {
			errs = append(errs, fmt.Errorf("%s: required option is missing", name))
		}
	}
	return errors.Join(errs...)
}

// Exclusive takes pairs as Required does and reports when more than one of the options is set.
func Exclusive(pairs ...any) error {
	var names []string
	for name, set := range options(pairs) {
		if set {
			names = append(names, name)
		}
	}
	if len(names) < 2 {
		return nil
	}
	return fmt.Errorf("%s: these options exclude each other; keep one", strings.Join(names, ", "))
}

// OneOf reports an option whose value is not among the choices. An empty value
// is refused too, unless "" is one of them.
func OneOf(name, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return fmt.Errorf("%s: expected one of %s, got %q", name, strings.Join(choices, ", "), value)
}

// options goes through pairs and says for each name whether its value is set.
func options(pairs []any) func(yield func(name string, set bool) bool) {
	return func(yield func(string, bool) bool) {
		for pair := range slices.Chunk(pairs, 2) {
			v := reflect.ValueOf(pair[1])
			set := v.IsValid() && !v.IsZero()
			if k := v.Kind(); set && (k == reflect.Slice || k == reflect.Map) {
				set = v.Len() > 0
			}
			if !yield(pair[0].(string), set) {
				return
			}
		}
	}
}

// hint names the valid option that is nearest to an unknown one, or all of
// them when none is near. Names are sorted, so ties go to the first.
func hint(unknown string, names []string) string {
	if len(names) == 0 {
		return "none is expected here"
	}
	// Up to a third of the letters may be wrong, and always one.
	best, near := "", max(len(unknown)/3+1, 2)
	for _, name := range names {
		if n := distance(unknown, name); n < near {
			best, near = name, n
		}
	}
	if best == "" {
		return "expected one of " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance counts the edits from a to b: letters put in, left out, replaced or
// swapped with the next (optimal string alignment).
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
