package failover

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/plan"
)

// patience is how long BIRD may take to answer.
const patience = time.Second

// An Eye asks BIRD for its BFD sessions, over a connection that it keeps.
type Eye struct {
	socket string
	bird   *birdc.Client
}

// NewEye makes an Eye for the BIRD at a control socket.
func NewEye(socket string) *Eye { return &Eye{socket: socket} }

// Look returns the sessions that are up, or nil when BIRD does not answer.
func (e *Eye) Look(ctx context.Context) Seen {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if e.bird == nil {
		var err error
		if e.bird, err = birdc.Dial(ctx, e.socket); err != nil {
			return nil
		}
	}
	reply, err := e.bird.Command(ctx, "show bfd sessions")
	if err != nil {
		e.Close()
		return nil
	}
	return sessionsUp(reply.Text())
}

// Close ends the connection. The next Look makes a new one.
func (e *Eye) Close() {
	if e.bird != nil {
		_ = e.bird.Close()
		e.bird = nil
	}
}

// sessionsUp reads BIRD's "show bfd sessions": address, interface, state and
// more (proto/bfd/bfd.c, bfd_show_sessions).
func sessionsUp(text string) Seen {
	seen := Seen{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "Up" {
			continue
		}
		if address, err := netip.ParseAddr(f[0]); err == nil {
			seen[plan.BFDSession{Interface: f[1], Address: address.WithZone("")}] = true
		}
	}
	return seen
}
