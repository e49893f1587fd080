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

func (p *Problems) add(format string, args ...any) {
	*p = append(*p, cause.New(format, args...))
}

func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	order.By(p, func(a, b cause.Cause) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(p)
}

// ties hold the names together that one mistake is about, which is said once then and not
// for each pair.
type ties map[string]*tie

type tie struct {
	names []string
	what  []string // what they have in common
}

func (t ties) add(a, b, what string) {
	x, y := cmp.Or(t[a], &tie{names: []string{a}}), cmp.Or(t[b], &tie{names: []string{b}})
	if x != y {
		x.names, x.what = append(x.names, y.names...), append(x.what, y.what...)
		for _, name := range x.names {
			t[name] = x
		}
	}
	x.what = append(x.what, what)
}

// all returns them, each name and what they have in common once.
func (t ties) all() []*tie {
	var out []*tie
	for _, x := range t {
		if !slices.Contains(out, x) {
			x.names, x.what = once(x.names), once(x.what)
			out = append(out, x)
		}
	}
	return out
}
