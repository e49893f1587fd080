package preflight

import "github.com/wgmesh/router/pkg/cause"

// ping asks whether the host answers ping, by which the others see that it is there.
func ping(w Want, h Have) (out []finding) {
	off := []string{h.NoPing}
	if w.ipv6() {
		off = append(off, h.NoPing6)
	}
	for _, what := range off {
		if what != "" {
			out = append(out, warn(cause.New(
				"this router answers no ping (%s), by which the others see that it is there: set it to 0", what)))
		}
	}
	return out
}
