package mesh

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

// birdWords are the words that BIRD 2.0.12 does not take as the name of a
// protocol, each tried with bird -p, and the names that bird_config's own
// protocols, filters and variables have.
//
//go:embed birdwords.txt
var birdWords string

// ProtocolName returns the name of the BGP protocol for a router in BIRD. It is
// the router's name with every character that a BIRD symbol may not have
// replaced by an underscore. An underscore goes before it when it would
// otherwise begin with a digit or be one of BIRD's words, as gateway is.
func ProtocolName(router string) string {
	name := regexp.MustCompile(`[^A-Za-z0-9_]`).ReplaceAllString(router, "_")
	if name == "" || name[0] <= '9' || slices.Contains(strings.Fields(birdWords), name) {
		return "_" + name
	}
	return name
}

// longestName is that of a BIRD symbol, with room for what is put around it.
const longestName = 56

// plainName says whether a router's or site's name is fit for interfaces of
// all kinds: files, BIRD comments, one-line messages.
func plainName(s string) bool {
	return len(s) <= longestName && regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`).MatchString(s)
}

// interfaceName says whether Linux, wg-quick and dotted sysctl keys all take s
// as the name of an interface.
func interfaceName(s string) bool {
	return len(s) <= 15 && regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`).MatchString(s)
}
