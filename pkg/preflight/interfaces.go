package preflight

import "github.com/wgmesh/router/pkg/cause"

// interfaces asks whether somebody else has the name of a planned tunnel.
func interfaces(w Want, h Have) (out []finding) {
	for _, t := range w.Plan.Tunnels {
		what, taken := h.Taken[t.Name]
		switch {
		case !taken:
		case what[0] == '/':
			out = append(out, never(cause.New(
				"%s was not made for this mesh: move it away, or set another mesh_interface_prefix", what)))
		default:
			out = append(out, never(cause.New("%s is %s that wgmesh.router did not make: "+
				"remove it, or set another mesh_interface_prefix", t.Name, what)))
		}
	}
	return out
}
