package preflight

import "github.com/wgmesh/router/pkg/cause"

// ipv6 asks whether tunnels that are to have IPv6 addresses can have them.
func ipv6(w Want, h Have) []finding {
	if h.NoIPv6 == "" {
		return nil
	}
	for _, t := range w.Plan.Tunnels {
		for _, a := range t.Addresses {
			if a.Addr().Is6() {
				return []finding{refuse(cause.New("IPv6 is off (%s), and the mesh has IPv6 networks: switch it on, or take IPv6 out of mesh_sites", h.NoIPv6))}
			}
		}
	}
	return nil
}
