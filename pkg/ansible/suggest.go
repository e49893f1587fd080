package ansible

import (
	"fmt"
	"strings"
)

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
