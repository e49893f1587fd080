package mesh

import "regexp"

// longestName is that of a BIRD symbol, with room for what is put around it.
const longestName = 56

// plainName reports whether a router's or site's name is fit for interfaces of
// all kinds: files, BIRD comments, one-line messages.
func plainName(s string) bool {
	return len(s) <= longestName && regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`).MatchString(s)
}

// interfaceName reports whether Linux, wg-quick and dotted sysctl keys all take s
// as the name of an interface.
func interfaceName(s string) bool {
	return len(s) <= 15 && regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`).MatchString(s)
}
