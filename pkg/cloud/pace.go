package cloud

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Pace is how long to wait between attempts: First, then twice as long each
// time up to Most, and up to a half more by chance, so that many routers that
// were throttled together do not come back together.
type Pace struct{ First, Most time.Duration }

// DefaultPace is for the clouds themselves; tests take a quicker one.
func DefaultPace() Pace { return Pace{500 * time.Millisecond, 15 * time.Second} }

// Sleep waits before the attempt after number n, which counts from 0, and never
// shorter than least. It returns early, with an error, when ctx ends.
func (p Pace) Sleep(ctx context.Context, n int, least time.Duration) error {
	wait := p.Most
	if n < 16 {
		wait = min(p.Most, p.First<<n)
	}
	wait += rand.N(wait/2 + 1)
	timer := time.NewTimer(max(wait, least))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// How often to try what may be broken, and what others write at the same time.
const (
	mostBroken = 4
	mostRaces  = 8
)

// Try calls attempt until it succeeds or its error is final or a lost race. Throttling is waited
// out until ctx ends. renew makes new credentials; it may be nil.
func (p Pace) Try(ctx context.Context, renew func(), attempt func(context.Context) error) error {
	counts := map[Kind]int{}
	var last error
	unsure := false
	for n := 0; ; n++ {
		err := attempt(ctx)
		var e *Error
		if err == nil || !errors.As(err, &e) {
			return err
		}
		unsure = unsure || e.Unsure
		e.Unsure = unsure // also when a later attempt says why it was refused
		if ctx.Err() != nil {
			if e.Code == "" && last != nil { // the call was cut off: what came before says more
				errors.As(last, &e)
				e.Unsure, err = unsure, last
			}
			return Late(ctx, err)
		}
		last = err
		counts[e.Kind]++
		switch e.Kind {
		case Throttled:
		case Broken:
			if counts[Broken] >= mostBroken {
				return err
			}
		case Expired:
			if renew == nil || counts[Expired] > 1 {
				return err
			}
			renew()
		default:
			return err
		}
		if p.Sleep(ctx, n, e.After) != nil {
			return Late(ctx, err)
		}
	}
}

// Race calls attempt, which reads, decides and writes, again as long as somebody
// else writes in between. Where the cloud was only busy nobody has won, and ctx ends that.
func (p Pace) Race(ctx context.Context, attempt func(context.Context) error) error {
	for n, lost := 0, 0; ; n++ {
		err := attempt(ctx)
		var e *Error
		if !errors.As(err, &e) || e.Kind != Race {
			return err
		}
		if !e.Busy {
			lost++
		}
		switch {
		case lost == mostRaces:
			return fmt.Errorf("%w; lost against another writer %d times: find it, and run again", err, mostRaces)
		case p.Sleep(ctx, n, e.After) != nil:
			return Late(ctx, err)
		}
	}
}

// lateError has said that the time was up: a call within a call, as for a token, says it once.
type lateError struct{ error }

func (l lateError) Unwrap() error { return l.error }

// Late says that the time was up when err was the last answer.
func Late(ctx context.Context, err error) error {
	if errors.As(err, new(lateError)) {
		return err
	}
	why := "interrupted"
	if cause := context.Cause(ctx); errors.Is(ctx.Err(), context.DeadlineExceeded) {
		why = "still so when `timeout` was over"
		if !errors.Is(cause, context.DeadlineExceeded) {
			why = cause.Error()
		}
	}
	return lateError{fmt.Errorf("%w; %s", err, why)}
}

// Until calls look until it says true, waiting in between. When ctx ends it
// returns what look last saw.
func (p Pace) Until(ctx context.Context, look func(context.Context) (good bool, seen string, err error)) error {
	var before string
	for n := 0; ; n++ {
		good, seen, err := look(ctx)
		if err != nil && ctx.Err() != nil && before != "" {
			return Late(ctx, errors.New(before))
		}
		if err != nil || good {
			return err
		}
		before = seen
		if p.Sleep(ctx, n, 0) != nil {
			return Late(ctx, errors.New(seen))
		}
	}
}
