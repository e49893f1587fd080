package mesh

import "github.com/wgmesh/router/pkg/plan"

// longestName is that of a BIRD symbol, with room for what is put around it.
const longestName = 56

// plainName reports whether a router's or site's name is fit for interfaces of
// all kinds: files, BIRD comments, one-line messages.
func plainName(s string) bool {
	return plan.Name{First: plan.Alphanumeric, Rest: plan.Alphanumeric + "_.-", Most: longestName}.Fits(s)
}

// interfaceName reports whether Linux, wg-quick and dotted sysctl keys all take s
// as the name of an interface.
func interfaceName(s string) bool {
	return plan.Name{First: plan.Letters, Rest: plan.Alphanumeric + "_-", Most: 15}.Fits(s)
}
