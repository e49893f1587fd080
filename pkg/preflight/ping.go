package preflight

import "github.com/wgmesh/router/pkg/cause"

// ping asks whether the host answers ping, by which the others see that it is there.
func ping(_ Want, h Have) []finding {
	if h.NoPing == "" {
		return nil
	}
	return []finding{warn(cause.New("this router answers no ping (%s), by which the others see that it is there: set it to 0", h.NoPing))}
}
