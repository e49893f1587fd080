package preflight

import (
	"fmt"
	"net/netip"
	"slices"
)

// networks asks whether a subnet of this host is in a network of another site, as
// Docker's are now and then: what is meant for that site would go there.
func networks(w Want, h Have) []Finding {
	var out groups
	for _, owner := range w.Plan.Bird.Owners {
		if owner.AS == w.Plan.Bird.AS {
			continue
		}
		for _, n := range owner.Networks {
			dev, subnet, found := h.subnet(n)
			if !found || slices.ContainsFunc(w.Plan.Status.SourceNetworks, func(own netip.Prefix) bool { return own.Contains(subnet.Addr()) }) {
				continue
			}
			out.addTo(dev+n.String(), Finding{
				Cause: fmt.Sprintf("%s's %s overlaps with %s of site %s", dev, subnet.Masked(), n, owner.Site),
				Do:    "give one of them other addresses, or mesh_accept: [networks]",
			})
		}
	}
	return out.findings
}
