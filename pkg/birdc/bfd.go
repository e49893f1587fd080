package birdc

import (
	"net/netip"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// A BFDSession is one line of "show bfd sessions".
type BFDSession struct {
	plan.BFDSession
	State string // Up, Down, Init, AdminDown
}

// ParseBFD reads BIRD's "show bfd sessions" (proto/bfd/bfd.c,
// bfd_show_sessions).
func ParseBFD(text string) []BFDSession {
	var out []BFDSession
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		if address, err := netip.ParseAddr(f[0]); err == nil { // no heading
			at := plan.BFDSession{Interface: f[1], Address: address.WithZone("")}
			out = append(out, BFDSession{at, f[2]})
		}
	}
	return out
}
