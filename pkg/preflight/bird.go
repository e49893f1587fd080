package preflight

import (
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// speaks says what in a bird.conf speaks with other routers, and nothing when nothing does. The
// protocols of the distributions' files do not. What is included may.
func speaks(text string) string {
	before := ""
	for _, word := range words(text) {
		if (before == "protocol" || before == "template") && slices.Contains(speakers, word) {
			return word + " protocol"
		}
		if word == "include" {
			return "line that includes other files"
		}
		before = word
	}
	return ""
}

// words are those of a bird.conf outside of its comments and texts.
func words(text string) []string {
	var code strings.Builder
	for text != "" {
		begin, end := text[:1], ""
		switch {
		case strings.HasPrefix(text, "/*"):
			begin, end = "/*", "*/"
		case begin == "#":
			end = "\n"
		case begin == `"`:
			end = begin
		}
		text = text[len(begin):]
		if end == "" {
			code.WriteString(begin)
			continue
		}
		_, text, _ = strings.Cut(text, end)
		code.WriteByte(' ')
	}
	return strings.FieldsFunc(code.String(),
		func(r rune) bool { return !strings.ContainsRune(plan.Alphanumeric+"_", r) })
}

var speakers = []string{"babel", "bgp", "bmp", "l3vpn", "ospf", "pipe", "radv", "rip", "rpki"}

// bird asks whether the BIRD that is installed will do and may start, and whether it works for somebody
// else already: its configuration would be replaced by the mesh's.
func bird(_ Want, h Have) (out []finding) {
	if h.Bird.Unfit != "" {
		out = append(out, never(cause.New("%s: install bird2 or bird3 of a later release", h.Bird.Unfit)))
	}
	if h.Bird.Masked != "" {
		out = append(out, refuse(cause.New("%s keeps BIRD from starting: run systemctl unmask bird", h.Bird.Masked)))
	}
	if line := speaks(string(h.Bird.Foreign)); line != "" {
		out = append(out, refuse(cause.New("%s has a %s that wgmesh.router did not make: "+
			"move it away, or set mesh_accept to [bird] to have it replaced", h.Bird.Path, line)))
	}
	return out
}
