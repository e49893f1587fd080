package measure

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// Limit is how long a server waits for, and serves, two tests in turn.
func (r Request) Limit() time.Duration {
	return 2*(time.Duration(r.Seconds)*time.Second+settleWait) + 10*time.Second
}

// Serve starts, on the peer, the servers for the two ways to it. It returns what
// the tunnels cannot be served for, as results; those that are served are none.
func (r Request) Serve(ctx context.Context, tunnels []plan.MeasureTunnel) []Result {
	out := []Result{}
	for _, t := range tunnels {
		result := r.Planned(t)
		outside, err := r.outside(t)
		for _, s := range outside {
			err = s.Serve(ctx)
		}
		if err != nil {
			result.Outside.Throughput = failed(err, t.Peer)
		}
		if err := r.server(t.Address).Serve(ctx); err != nil {
			result.Inside.Throughput = failed(err, t.Peer)
		}
		if result.rated() {
			out = append(out, result)
		}
	}
	return out
}

// Stop ends on the peer what Serve started there, if it still runs.
func (r Request) Stop(ctx context.Context, tunnels []plan.MeasureTunnel) error {
	var errs []error
	for _, t := range tunnels {
		servers, err := r.outside(t)
		errs = append(errs, err)
		for _, s := range append(servers, r.server(t.Address)) {
			errs = append(errs, s.Stop(ctx))
		}
	}
	return errors.Join(errs...)
}

func (r Request) server(a netip.Addr) Server {
	return Server{Address: a, Port: r.Port, Limit: r.Limit()}
}

// outside is the server for the way outside, or none when there is no such way.
func (r Request) outside(t plan.MeasureTunnel) ([]Server, error) {
	if !t.Endpoint.IsValid() {
		return nil, nil
	}
	address, err := BindAddress(t.Endpoint)
	if err != nil {
		return nil, err
	}
	return []Server{r.server(address)}, nil
}
