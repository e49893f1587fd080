// Package order sorts slices in little code. slices.SortFunc is compiled anew for each
// type of element, 20 kB each time; this is so once.
package order

import "sort"

// By sorts s as cmp compares, and leaves equal elements in the order they have.
func By[T any](s []T, cmp func(a, b T) int) {
	sort.Stable(list{
		len(s),
		func(i, j int) bool { return cmp(s[i], s[j]) < 0 },
		func(i, j int) { s[i], s[j] = s[j], s[i] },
	})
}

type list struct {
	length int
	less   func(i, j int) bool
	swap   func(i, j int)
}

func (l list) Len() int           { return l.length }
func (l list) Less(i, j int) bool { return l.less(i, j) }
func (l list) Swap(i, j int)      { l.swap(i, j) }
