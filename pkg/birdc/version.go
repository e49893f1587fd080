package birdc

import (
	"strconv"
	"strings"
)

// Numbers returns the numbers that a version starts with: 2, 17 and 6 of "2.17.6+branch".
// fmt.Sscanf would make the program 32 kB larger.
func Numbers(version string) (n []int) {
	for part := range strings.SplitSeq(version, ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		number, err := strconv.Atoi(digits)
		if err != nil {
			return n
		}
		if n = append(n, number); digits != part {
			return n
		}
	}
	return n
}
