package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/plan"
)

// patience is how long BIRD may take to answer.
const patience = time.Second

// An Eye asks BIRD for its BFD sessions, and who is drained, over a connection that it keeps.
type Eye struct {
	config Config
	bird   *birdc.Client
}

// NewEye makes an Eye for the BIRD of a configuration.
func NewEye(c Config) *Eye { return &Eye{config: c} }

// Look returns what BIRD says, or nil when it does not answer.
func (e *Eye) Look(ctx context.Context) *Seen {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if e.bird == nil {
		var err error
		if e.bird, err = birdc.Dial(ctx, e.config.Socket); err != nil {
			return nil
		}
	}
	seen, err := e.ask(ctx)
	if err != nil {
		e.Close()
		return nil
	}
	return seen
}

func (e *Eye) ask(ctx context.Context) (*Seen, error) {
	reply, err := e.bird.Command(ctx, "show bfd sessions")
	if err != nil {
		return nil, err
	}
	seen := &Seen{Up: map[plan.BFDSession]bool{}, Drained: map[plan.BFDSession]bool{}}
	for _, s := range birdc.ParseBFD(reply.Text()) {
		if s.State == "Up" {
			seen.Up[s.BFDSession] = true
		}
	}
	reply, err = e.bird.Command(ctx, "eval "+plan.BirdDrain)
	if refused := new(birdc.Error); err != nil && !errors.As(err, &refused) { // an older bird.conf has no such constant
		return nil, err
	}
	seen.Self = err == nil && plan.ParseDrain(reply.Text()).On()
	for _, p := range e.config.Partners {
		if !seen.Up[p.BFDSession] {
			continue
		}
		// What a drained router announces has GRACEFUL_SHUTDOWN (RFC 8326). So has what it
		// passes on of one at another site, by a path that is not empty. One that
		// announces nothing, as before its session is up again, says nothing about it.
		for _, drained := range []bool{false, true} {
			command := fmt.Sprintf("show route where from = %s && bgp_path.len = 0 && ((65535, "+
				"0) ~ bgp_community) = %t count", p.Address, drained)
			reply, err := e.bird.Command(ctx, command)
			if err != nil {
				return nil, err
			}
			if counts(reply.Text()) {
				seen.Drained[p.BFDSession] = drained
			}
		}
	}
	return seen, nil
}

// counts reports whether BIRD counted a route: "3 of 12 routes for 9 networks in table
// master4", a line for each table.
func counts(text string) bool {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 1 && f[1] == "of" && f[0] != "0" {
			return true
		}
	}
	return false
}

// Close ends the connection. The next Look makes a new one.
func (e *Eye) Close() {
	if e.bird != nil {
		_ = e.bird.Close()
		e.bird = nil
	}
}
