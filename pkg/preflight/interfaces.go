package preflight

import "fmt"

// interfaces asks whether somebody else has the name of a planned tunnel.
func interfaces(w Want, h Have) (out []Finding) {
	for _, t := range w.Plan.Tunnels {
		what, taken := h.Taken[t.Name]
		switch {
		case !taken:
		case what[0] == '/':
			out = append(out, Finding{Cause: what + " was not made by wgmesh.router", Do: "move it away, or choose other names (mesh_interface_prefix)"})
		default:
			out = append(out, Finding{
				Cause: fmt.Sprintf("%s is %s that wgmesh.router did not make", t.Name, what),
				Do:    fmt.Sprintf("ip link delete %s, or choose other names (mesh_interface_prefix)", t.Name),
			})
		}
	}
	return out
}
