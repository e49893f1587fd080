// Package order sorts slices in little code. slices.SortFunc is compiled anew for each
// type of element, 20 kB each time; this is so once.
package order

import (
	"cmp"
	"sort"
)

// By sorts s as cmp compares, and leaves equal elements in the order they have.
func By[T any](s []T, cmp func(a, b T) int) {
	sort.SliceStable(s, func(i, j int) bool { return cmp(s[i], s[j]) < 0 })
}

// Ints sorts s.
func Ints(s []int) { By(s, cmp.Compare[int]) }
