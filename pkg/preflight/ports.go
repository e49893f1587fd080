package preflight

import "fmt"

// The ports on which BIRD listens: BGP (RFC 4271) and BFD (RFC 5881, 5883).
const (
	bgpPort      = 179
	bfdPort      = 3784
	bfdFarPort   = 4784
	stopOrChange = "stop it, or give the mesh other ports (mesh_port_base)"
)

// ports asks who else holds the ports of the tunnels and of BIRD.
func ports(w Want, h Have) (out []Finding) {
	for _, t := range w.Plan.Tunnels {
		if owner := h.UDP[t.ListenPort]; owner != "" {
			out = append(out, Finding{Cause: fmt.Sprintf("UDP %d is held by %s, and %s needs it", t.ListenPort, owner, t.Name), Do: stopOrChange})
		}
	}
	if owner := h.TCP[bgpPort]; owner != "" {
		out = append(out, Finding{Cause: fmt.Sprintf("TCP %d is held by %s, and BIRD needs it for BGP", bgpPort, owner), Do: "stop it, or have it listen on another port"})
	}
	if owner := h.UDP[bfdPort]; owner != "" {
		out = append(out, Finding{Cause: fmt.Sprintf("UDP %d is held by %s, and BIRD needs it for BFD", bfdPort, owner), Do: "stop it: a host has one BFD daemon"})
	}
	// BIRD opens it too, and no session of the mesh needs it.
	if owner := h.UDP[bfdFarPort]; owner != "" {
		out = append(out, Finding{Cause: fmt.Sprintf("UDP %d is held by %s, and BIRD opens it for BFD", bfdFarPort, owner), Do: "the mesh works without; stop it if BIRD's log is to be quiet", Harmless: true})
	}
	return out
}
