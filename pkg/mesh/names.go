package mesh

import "github.com/wgmesh/router/pkg/plan"

// interfaceName reports whether Linux, wg-quick and dotted sysctl keys all take s
// as the name of an interface.
func interfaceName(s string) bool {
	return plan.Name{First: plan.Letters, Rest: plan.Alphanumeric + "_-", Most: 15}.Fits(s)
}
