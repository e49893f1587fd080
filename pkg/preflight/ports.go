package preflight

import (
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// ports asks who else holds the ports of the tunnels and of BIRD.
func ports(w Want, h Have) (out []finding) {
	for _, t := range w.Plan.Tunnels {
		if owner := h.UDP[t.ListenPort]; owner != "" {
			out = append(out, refuse(cause.New("UDP %d is held by %s, and %s needs it: "+
				"stop it, or set another mesh_port_base", t.ListenPort, owner, t.Name)))
		}
	}
	if owner := h.TCP[plan.BGPPort]; owner != "" {
		out = append(out, refuse(cause.New("TCP %d is held by %s, and BIRD needs it for BGP: "+
			"stop it, or have it listen on another port", plan.BGPPort, owner)))
	}
	if owner := h.UDP[plan.BFDPort]; owner != "" {
		out = append(out, refuse(cause.New("UDP %d is held by %s, and BIRD needs it for BFD: "+
			"stop it, since a host has one BFD daemon", plan.BFDPort, owner)))
	}
	return out
}
