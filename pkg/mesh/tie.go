package mesh

import (
	"cmp"
	"slices"
)

// ties hold the names together that one mistake is about, which is said once then and not
// for each pair.
type ties map[string]*tie

type tie struct {
	names []string
	what  []string // what they have in common
}

// add notes a mistake between two.
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
