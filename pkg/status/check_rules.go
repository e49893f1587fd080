package status

import (
	"slices"

	"github.com/wgmesh/router/pkg/cause"
)

// besides warns of rules that take some packets of the sites away by their protocol, port or class:
// the kernel is asked for one of UDP without ports, and what goes astray may be meant to.
func (f *Forwarding) besides(r *Request) (out []cause.Cause) {
	for i := range f.flows {
		x := &f.flows[i]
		for _, some := range f.tables.Besides(x.Flow, x.reason) {
			what, device := "other sites", some.Device()
			right := r.isTunnel(device)
			if x.way == inward {
				what, right = "its site", device == x.main
			}
			if right {
				continue
			}
			c := cause.New("%s drops some of what is for %s: remove it, or put one for table main before it",
				some.RuleText(), what)
			if device != "" {
				c = cause.New("%s sends some of what is for %s out of %s: "+
					"remove it, or put one for table main before it", some.RuleText(), what, device)
			}
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}
