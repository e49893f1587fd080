package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// Problems are all the reasons why a mesh cannot work, sorted, one line each.
type Problems []string

// Error returns the problems, one on each line.
func (p Problems) Error() string { return strings.Join(p, "\n") }

// add notes a problem.
func (p *Problems) add(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// err returns the problems as an error, or nil when there are none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.Sort(p)
	return slices.Compact(p)
}
