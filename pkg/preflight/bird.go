package preflight

import (
	"regexp"

	"github.com/wgmesh/router/pkg/cause"
)

// speaks finds the protocols of a bird.conf that speak with other routers. Those that the
// distributions' files have do not.
var speaks = regexp.MustCompile(`(?m)^[ \t]*(?:protocol|template)[ \t]+(babel|bgp|bmp|l3vpn|ospf|pipe|rip|rpki)\b`)

// bird asks whether the BIRD that is installed will do and may start, and whether it works for somebody
// else already: its configuration would be replaced by the mesh's.
func bird(_ Want, h Have) (out []finding) {
	if h.Bird.Unfit != "" {
		out = append(out, refuse(cause.New("%s: install bird2 or bird3 of a later release", h.Bird.Unfit)))
	}
	if h.Bird.Masked != "" {
		out = append(out, refuse(cause.New("%s keeps BIRD from starting: run systemctl unmask bird", h.Bird.Masked)))
	}
	if m := speaks.FindSubmatch(h.Bird.Foreign); m != nil {
		out = append(out,
			refuse(cause.New(
				"%s has a %s protocol that wgmesh.router did not make: move it away, or set mesh_accept to [bird] to have it replaced", h.Bird.Path, string(m[1]))))
	}
	return out
}
