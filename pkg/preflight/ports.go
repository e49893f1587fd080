package preflight

import "github.com/wgmesh/router/pkg/cause"

// The ports on which BIRD listens: BGP (RFC 4271) and BFD (RFC 5881). Ours does not on that of
// BFD over more hops.
const (
	bgpPort = 179
	bfdPort = 3784
)

// ports asks who else holds the ports of the tunnels and of BIRD.
func ports(w Want, h Have) (out []finding) {
	for _, t := range w.Plan.Tunnels {
		if owner := h.UDP[t.ListenPort]; owner != "" {
			out = append(out,
				refuse(cause.New("UDP %d is held by %s, and %s needs it: stop it, or set another mesh_port_base",
					t.ListenPort, owner, t.Name)))
		}
	}
	if owner := h.TCP[bgpPort]; owner != "" {
		out = append(out,
			refuse(cause.New(
				"TCP %d is held by %s, and BIRD needs it for BGP: stop it, or have it listen on another port",
				bgpPort, owner)))
	}
	if owner := h.UDP[bfdPort]; owner != "" {
		out = append(out,
			refuse(cause.New(
				"UDP %d is held by %s, and BIRD needs it for BFD: stop it, since a host has one BFD daemon",
				bfdPort, owner)))
	}
	return out
}
