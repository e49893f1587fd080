package preflight

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
)

// networks asks whether a subnet of this host is in a network of another site, as
// Docker's are now and then: what is meant for that site would go there. A route of
// somebody else goes before the mesh's too, and may be what is to be replaced by it.
func networks(w Want, h Have) []finding {
	var out groups
	own := func(a netip.Addr) bool {
		return slices.ContainsFunc(w.Plan.Status.SourceNetworks, func(n netip.Prefix) bool { return n.Contains(a) })
	}
	for _, owner := range w.Plan.Bird.Owners {
		if owner.AS == w.Plan.Bird.AS {
			continue
		}
		for _, n := range owner.Networks {
			if dev, subnet, found := h.subnet(n); found && !own(subnet.Addr()) {
				out.add(dev+n.String(), refuse(cause.New("%s of %s overlaps with %s of site %s: "+
					"give one of them others, or set mesh_accept to [networks]", subnet.Masked(), dev, n,
					owner.Site)))
				continue
			}
			if r, found := h.route(n); found && r.Network.Bits() >= n.Bits() && !own(r.Network.Addr()) {
				out.add(n.String(),
					warn(cause.New("a route to %s by %s on %s goes before the mesh's to site %s: remove it", r.Network,
						r.Owner, r.Dev, owner.Site)))
			}
		}
	}
	return out.findings
}
