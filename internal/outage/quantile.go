package outage

import (
	"cmp"
	"math"
	"slices"
)

// Quantile is the smallest value that at least this share of all values does not
// exceed: of fewer than 100 values, that of 0.99 is the largest. Of none it is zero.
func Quantile[T cmp.Ordered](values []T, share float64) T {
	var none T
	if len(values) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(share*float64(len(sorted)) - 1e-9))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
