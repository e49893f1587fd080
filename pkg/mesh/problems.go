package mesh

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/order"
)

// Problems are all the reasons why a mesh cannot work, sorted, each with what to do.
type Problems []cause.Cause

// Error returns the problems, one on each line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, c := range p {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each problem as an error of its own.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, c := range p {
		errs[i] = c
	}
	return errs
}

// add notes a problem, in the words of cause.New.
func (p *Problems) add(format string, args ...any) {
	*p = append(*p, cause.New(format, args...))
}

// err returns the problems as an error, or nil when there are none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	order.By(p, func(a, b cause.Cause) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(p)
}
