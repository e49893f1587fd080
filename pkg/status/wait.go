package status

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/plan"
)

// pollEvery is the pause between two looks while waiting. A look without pings
// costs a few milliseconds.
const pollEvery = 150 * time.Millisecond

// wakeEvery is the number of looks between two packets into tunnels that have no handshake and no
// keepalive: nobody else may send any, so that they would never make one.
const wakeEvery = 8

// sureAfter is how long a cause that time cannot mend has to be there before it
// ends the wait: somebody may be mending it at this moment.
const sureAfter = time.Second

// askAgain is how long pings are sent again to peers whose sessions prove that
// packets get through: one may be lost on a busy machine, and ICMP may be refused.
const askAgain = 3 * time.Second

// Wait observes the router until every required peer is healthy, at most for the given time, and
// returns the last observation and what is wrong with it. It ends sooner when time can mend nothing
// of what is missing, and when nothing new became healthy for the request's Settle. It always looks
// at least once, with pings; while something cheaper is missing it does not ping, so that it sees
// health as soon as it is there.
func Wait(ctx context.Context, r Request, wait time.Duration) (Observation, Report) {
	began := time.Now()
	w := watch{settle: max(0, r.Settle-r.timeout()), since: began.Add(-r.Waited)}
	o := Observe(ctx, r, !r.NoPing)
	first := o
	for poll := 1; ; poll++ {
		rep := Judge(r, o)
		left := wait - time.Since(began)
		// Once nothing moves any more, the look with pings that follows is the last,
		// unless something came up in the meantime.
		w.settled = r.Settle > 0 && w.settles(&o, rep)
		over := left <= 0 || ctx.Err() != nil || w.settled || w.over(&o, rep)
		switch {
		case over && (o.Probed || r.NoPing):
			return o, rep
		case over || rep.RequiredHealthy() && !r.NoPing:
			o = Observe(ctx, r, !r.NoPing)
		default:
			if poll%wakeEvery == 0 && !r.NoPing {
				wake(ctx, &r, &o)
			}
			pause(ctx, min(pollEvery, left))
			o = Observe(ctx, r, false)
		}
		o.compare(first)
	}
}

// A watch follows what a wait sees.
type watch struct {
	settle   time.Duration
	since    time.Time // when the network was left alone
	settled  bool
	best     [2]int    // the most that was healthy, without and with pings
	moved    time.Time // when that rose
	hoped    time.Time // when something was last missing that time can mend
	answered time.Time // when only pings were missing first; zero: more is
}

// settles reports whether nothing new became healthy for long enough.
func (w *watch) settles(o *Observation, rep Report) bool {
	now := time.Now()
	cheap, probed := progress(o, rep)
	switch {
	case w.moved.IsZero():
		if w.moved = latest(w.since, o.newest()); w.moved.After(now) { // the clock was set back since
			w.moved = now
		}
	case cheap > w.best[0] || probed > w.best[1] && !w.settled:
		w.moved = now
	}
	w.best = [2]int{max(w.best[0], cheap), max(w.best[1], probed)}
	return now.Sub(w.moved) >= w.settle
}

// newest is when a tunnel last came up, as far as the router itself knows.
func (o *Observation) newest() (at time.Time) {
	for _, t := range o.Tunnels {
		if t.Device.Peer != nil {
			at = latest(at, t.Device.Peer.Handshake)
		}
		if t.Session != nil && t.Session.State == "Established" {
			at = latest(at, o.clock(t.Session.Since))
		}
	}
	return at
}

// clock turns a time of day of BIRD's into the time that it is, at most 23 hours before the
// observation began, or just after: BIRD is asked a moment later. Zero if it is none. BIRD keeps
// the time zone that was there when it started, so what counts is how long ago that is by its own clock.
func (o *Observation) clock(text string) time.Time {
	const day = time.DateOnly + " "
	now := o.BirdNow
	if now.IsZero() {
		_, offset := o.At.Zone()
		now = o.At.UTC().Add(time.Duration(offset) * time.Second)
	}
	at, err := time.Parse(day+"15:04:05.999", now.Format(day)+text)
	switch {
	case err != nil:
		return time.Time{}
	case at.After(now.Add(time.Hour)):
		at = at.AddDate(0, 0, -1)
	case at.Before(now.Add(-23 * time.Hour)):
		at = at.AddDate(0, 0, 1)
	}
	return o.At.Add(at.Sub(now))
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// over reports whether there is nothing left to wait for.
func (w *watch) over(o *Observation, rep Report) bool {
	now := time.Now()
	if !rep.hopeless() || w.hoped.IsZero() {
		w.hoped = now
	}
	switch {
	case rep.answers():
		return true
	case !rep.RequiredHealthy():
		w.answered = time.Time{}
	case w.answered.IsZero():
		w.answered = now
	}
	return !w.answered.IsZero() && now.Sub(w.answered) >= askAgain ||
		!rep.RequiredHealthy() && rep.hopeless() &&
			(now.Sub(w.hoped) >= sureAfter || errors.Is(o.BirdErr, birdc.ErrSilent))
}

// progress counts what is healthy, and the steps that tunnels have come towards it.
func progress(o *Observation, rep Report) (cheap, probed int) {
	for _, t := range o.Tunnels {
		for _, step := range []bool{
			t.Device.Peer != nil, t.Device.Peer != nil && !t.stale(o.At),
			t.Session != nil && t.Session.State == "Established", t.BFD != nil && t.BFD.State == "Up",
		} {
			if step {
				cheap++
			}
		}
	}
	cheap += count(rep.Prefixes)
	if o.Probed {
		probed = cheap + count(rep.Tunnels) + count(rep.Targets)
	}
	return cheap, probed
}

// compare notes for which peers packets were accepted since the first look.
func (o *Observation) compare(first Observation) {
	for i := range o.Tunnels {
		was, is := first.Tunnels[i].Device.Peer, o.Tunnels[i].Device.Peer
		o.Tunnels[i].RxGrew = was != nil && is != nil && is.Rx > was.Rx
	}
}

// wake sends a packet into each tunnel that waits for one.
func wake(ctx context.Context, r *Request, o *Observation) {
	var all sync.WaitGroup
	for i, t := range r.Tunnels {
		if p := o.Tunnels[i].Device.Peer; p != nil && p.Keepalive == 0 && o.Tunnels[i].stale(o.At) {
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
		known := slices.ContainsFunc(r.Tunnels, func(t plan.StatusTunnel) bool {
			return name == t.Peer || name == t.Neighbor
		}) ||
			slices.ContainsFunc(r.Reach, func(t Target) bool { return name == t.Name })
		if !known {
			out = append(out, name)
		}
	}
	return out
}

func count(list []bool) (n int) {
	for _, healthy := range list {
		if healthy {
			n++
		}
	}
	return n
}
