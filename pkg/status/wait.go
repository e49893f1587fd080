package status

import (
	"context"
	"time"
)

const (
	pollEvery = 150 * time.Millisecond
	// probeEvery is how many polls go by between pings while something that
	// costs no ping is missing. A ping also wakes a tunnel that nobody uses.
	probeEvery = 8
)

// Wait looks until nothing that the request requires is a problem, or until
// limit has passed. It returns the last look, pings included, and what is
// still wrong. A limit of 0 looks once.
func Wait(ctx context.Context, r Request, limit time.Duration) (Observation, []Problem) {
	deadline := time.Now().Add(limit)
	for poll := 0; ; poll++ {
		last := !time.Now().Add(pollEvery).Before(deadline)
		o := Observe(ctx, r, last || poll%probeEvery == 0)
		problems := Check(r, o)
		if !o.Probed && len(Required(problems)) == 0 {
			o = Observe(ctx, r, true)
			problems = Check(r, o)
		}
		if last || len(Required(problems)) == 0 || ctx.Err() != nil {
			return o, problems
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}
