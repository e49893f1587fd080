package preflight

import (
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// speaks finds the first protocol of a bird.conf that speaks with other routers. Those that the
// distributions' files have do not.
func speaks(text string) string {
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimLeft(line, " \t")
		rest, ok := strings.CutPrefix(line, "protocol")
		if !ok {
			rest, ok = strings.CutPrefix(line, "template")
		}
		behind := strings.TrimLeft(rest, " \t")
		name := behind[:len(behind)-len(strings.TrimLeft(behind, plan.Alphanumeric+"_"))]
		if ok && behind != rest && slices.Contains(speakers, name) {
			return name
		}
	}
	return ""
}

var speakers = []string{"babel", "bgp", "bmp", "l3vpn", "ospf", "pipe", "rip", "rpki"}

// bird asks whether the BIRD that is installed will do and may start, and whether it works for somebody
// else already: its configuration would be replaced by the mesh's.
func bird(_ Want, h Have) (out []finding) {
	if h.Bird.Unfit != "" {
		out = append(out, refuse(cause.New("%s: install bird2 or bird3 of a later release", h.Bird.Unfit)))
	}
	if h.Bird.Masked != "" {
		out = append(out, refuse(cause.New("%s keeps BIRD from starting: run systemctl unmask bird", h.Bird.Masked)))
	}
	if protocol := speaks(string(h.Bird.Foreign)); protocol != "" {
		out = append(out,
			refuse(cause.New(
				"%s has a %s protocol that wgmesh.router did not make: move it away, or set mesh_accept to [bird] to have it replaced", h.Bird.Path, protocol)))
	}
	return out
}
