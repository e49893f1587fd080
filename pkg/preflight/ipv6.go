package preflight

// ipv6 asks whether tunnels that are to have IPv6 addresses can have them.
func ipv6(w Want, h Have) []Finding {
	if h.NoIPv6 == "" {
		return nil
	}
	for _, t := range w.Plan.Tunnels {
		for _, a := range t.Addresses {
			if a.Addr().Is6() {
				return []Finding{{Cause: "IPv6 is off (" + h.NoIPv6 + "), and the mesh has IPv6 networks", Do: "turn it on, or take IPv6 out of mesh_sites"}}
			}
		}
	}
	return nil
}
