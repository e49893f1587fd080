package preflight

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// ipv6 asks whether tunnels that are to have IPv6 addresses can have them.
func ipv6(w Want, h Have) []finding {
	if h.NoIPv6 == "" || !w.ipv6() {
		return nil
	}
	return []finding{
		refuse(cause.New("IPv6 is off (%s), and the mesh has IPv6 networks: "+
			"switch it on, or take IPv6 out of mesh_sites", h.NoIPv6)),
	}
}

func (w Want) ipv6() bool {
	return slices.ContainsFunc(w.Plan.Tunnels, func(t plan.Tunnel) bool {
		return slices.ContainsFunc(t.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() })
	})
}
