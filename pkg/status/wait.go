package status

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pollEvery is the pause between two looks while waiting. A look without pings
// costs a few milliseconds.
const pollEvery = 150 * time.Millisecond

// wakeEvery is the number of looks between two packets into tunnels that have
// no handshake and no keepalive: nobody else may send any, so that they would
// never make one.
const wakeEvery = 8

// Wait observes the router until every required peer is healthy, at most for
// the given time, and returns the last observation and what is wrong with it.
// It always looks at least once, with pings; while something cheaper is
// missing it does not ping, so that it sees health as soon as it is there.
func Wait(ctx context.Context, r Request, wait time.Duration) (Observation, Report) {
	deadline := time.Now().Add(wait)
	o := Observe(ctx, r, true)
	first := o
	for poll := 1; ; poll++ {
		rep := Check(r, o)
		left := time.Until(deadline)
		switch {
		case o.Probed && (rep.RequiredHealthy() || left <= 0 || ctx.Err() != nil):
			return o, rep
		case rep.RequiredHealthy() || left <= 0:
			o = Observe(ctx, r, true)
		default:
			if poll%wakeEvery == 0 {
				wake(ctx, r, o)
			}
			pause(ctx, min(pollEvery, left))
			o = Observe(ctx, r, false)
		}
		o.compare(first)
	}
}

// compare notes for which peers packets were accepted since the first look.
func (o *Observation) compare(first Observation) {
	for i := range o.Tunnels {
		was, is := first.Tunnels[i].Device.Peer, o.Tunnels[i].Device.Peer
		o.Tunnels[i].RxGrew = was != nil && is != nil && is.Rx > was.Rx
	}
}

// wake sends a packet into each tunnel that waits for one.
func wake(ctx context.Context, r Request, o Observation) {
	var all sync.WaitGroup
	for i, t := range r.Tunnels {
		if p := o.Tunnels[i].Device.Peer; p != nil && p.Keepalive == 0 && stale(*p, o.At) {
			all.Go(func() {
				// The answer does not matter: the next look sees the handshake.
				_, _ = ping(ctx, probe{to: t.Address, device: t.Name, payload: smallProbe, timeout: pollEvery})
			})
		}
	}
	all.Wait()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Unknown lists the required names that are neither a peer nor a target.
func (r Request) Unknown() []string {
	var out []string
	for _, name := range r.Require {
		known := slices.ContainsFunc(r.Tunnels, func(t Tunnel) bool { return name == t.Peer || name == t.Neighbor }) ||
			slices.ContainsFunc(r.Reach, func(t Target) bool { return name == t.Name })
		if !known {
			out = append(out, name)
		}
	}
	return out
}
