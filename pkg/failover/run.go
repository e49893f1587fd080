package failover

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wgmesh/router/pkg/cloud"
)

// A Taker points a table at this router, all of it or only these networks. It says what it changed,
// in words that name the table, also when it fails, and nothing when the table was right; and which
// networks failed, or none where that was not about some. It is called for several tables at once.
type Taker interface {
	Take(ctx context.Context, table string, only []netip.Prefix) (changed []string, failed []netip.Prefix, err error)
	// Gone lists the networks of a table that go to a router that is gone.
	Gone(ctx context.Context, table string) ([]netip.Prefix, error)
}

// A Daemon does what a Watch orders.
type Daemon struct {
	Config Config
	Look   func(context.Context) *Seen
	Taker  Taker
	Out    io.Writer // the journal: one line for everything that happens
	Every  time.Duration
	Again  time.Duration // between two looks at the tables of a partner that is down
	Pace   cloud.Pace    // between two attempts
	Limit  time.Duration // of one attempt
	// Fails is told when a table begins to fail, fails otherwise, or is well: one failure of
	// those that last, or none. Nil: nobody asks.
	Fails func(failure string)
	// Rests is told the tables of which nothing is left to do while their orders stand: they
	// point here, or are another one's to take. Nil: nobody asks.
	Rests func(tables []string)
	// Alive is called before each look. Nil: nobody asks.
	Alive func()

	mu    sync.Mutex // of Out, told and fails
	told  map[string]time.Time
	fails map[string]string // by table, what the last attempt said
}

// A job is an order that is being carried out, or of which only that is taken that goes to
// a router that is gone: whoever lives keeps what it has.
type job struct {
	Order
	gone   bool
	cancel context.CancelFunc
}

// A result is how a job ended. It has an error only when it was called off.
type result struct {
	Order
	err error
}

// Run watches until ctx ends, which changes nothing.
func (d *Daemon) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	watch := NewWatch(d.Config, time.Now())
	jobs, done, results := map[string]job{}, map[string]int{}, make(chan result)
	looked := map[string]time.Time{}
	var rests []string
	defer func() {
		cancel()
		for range jobs {
			<-results
		}
	}()
	tick := time.NewTicker(d.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-results:
			delete(jobs, r.Table)
			if r.err == nil {
				done[r.Table], looked[r.Table] = r.Number, time.Now()
			}
		case <-tick.C:
			if d.Alive != nil {
				d.Alive()
			}
			orders, news := watch.Step(time.Now(), d.Look(ctx))
			for _, line := range news {
				d.say("%s", line)
			}
			stand := map[string]bool{}
			for _, o := range orders {
				j, busy := jobs[o.Table]
				if _, known := looked[o.Table]; !known {
					looked[o.Table] = time.Now()
				}
				switch {
				case busy && j.Number < o.Number:
					j.cancel() // it begins anew with the whole table
				case !busy && done[o.Table] < o.Number:
					jobs[o.Table] = d.begin(ctx, job{Order: o}, results)
				case !busy && !d.own(o.Table) && time.Since(looked[o.Table]) >= d.Again:
					jobs[o.Table] = d.begin(ctx, job{Order: o, gone: true}, results)
				}
				stand[o.Table] = o.Number > 0 || jobs[o.Table].gone
			}
			maps.DeleteFunc(looked, func(table string, _ time.Time) bool {
				return !slices.ContainsFunc(orders, func(o Order) bool { return o.Table == table })
			})
			for table, j := range jobs {
				if !stand[table] {
					j.cancel()
				}
			}
			for _, table := range d.failing() {
				if _, busy := jobs[table]; !busy && !stand[table] {
					d.failed(table, "")
					d.say("%s: %s", table, d.put(table))
				}
			}
			if now := d.resting(orders, done); d.Rests != nil && !slices.Equal(now, rests) {
				rests = now
				d.Rests(rests)
			}
		}
	}
}

// resting lists the tables of which nothing is left to do. A look after our own changes that
// only when it fails.
func (d *Daemon) resting(orders []Order, done map[string]int) (rests []string) {
	failing := d.failing()
	for _, o := range orders {
		is := done[o.Table] == o.Number || o.Why == lookAfter && done[o.Table] > 0
		if o.Number == 0 || is && !slices.Contains(failing, o.Table) {
			rests = append(rests, o.Table)
		}
	}
	slices.Sort(rests)
	return rests
}

// begin carries an order out beside the watching, until it is done or called off.
func (d *Daemon) begin(ctx context.Context, j job, results chan<- result) job {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		results <- result{j.Order, d.carryOut(ctx, j)}
	}()
	j.cancel = cancel
	return j
}

// own reports whether a table is this router's own. Of these the Watch orders each look.
func (d *Daemon) own(table string) bool { return slices.Contains(d.Config.Tables, table) }

// often is how often the same failure is said.
const often = 10 * time.Minute

// requestID is another one for each attempt.
var requestID = regexp.MustCompile(` \(request [^)]*\)`)

// carryOut tries until the table points here. A network that does is left alone from then
// on, so that two routers that are both well do not take it from each other while another
// network fails. What fails is said once, and after a while again.
func (d *Daemon) carryOut(ctx context.Context, o job) error {
	began := time.Now()
	var only []netip.Prefix
	for n := 0; ; n++ {
		changed, failed, err := d.attempt(ctx, o, only)
		if len(failed) > 0 {
			only = failed
		}
		took := fmt.Sprintf("%.2f s", time.Since(began).Seconds())
		if n > 0 {
			took += fmt.Sprintf(", attempt %d", n+1)
		}
		switch {
		case len(changed) > 0 && o.Why == lookAfter:
			d.say("it had been moved: %s (%s)", strings.Join(changed, "; "), took)
		case len(changed) > 0:
			d.say("%s: %s (%s)", o.Why, strings.Join(changed, "; "), took)
		case err == nil && n > 0 && !o.gone:
			d.say("%s points here (%s)", o.Table, took)
		}
		if err == nil {
			d.well(o.Table)
			d.failed(o.Table, "")
			return nil
		}
		if ctx.Err() == nil {
			d.failed(o.Table, about(o.Table, err))
			if d.news(o.Table + " " + requestID.ReplaceAllString(err.Error(), "")) {
				d.say("%s, but %s; trying until it works", o.Why, about(o.Table, err))
			}
		}
		if stop := d.Pace.Sleep(ctx, n, 0); stop != nil {
			return stop
		}
	}
}

func about(table string, err error) string {
	if strings.Contains(err.Error(), table) {
		return err.Error()
	}
	return table + ": " + err.Error()
}

// put says what becomes of a table whose order fell. Our own is so again soon.
func (d *Daemon) put(table string) string {
	if d.own(table) {
		return fmt.Sprintf("put off until this router is well and its partners unchanged for %d s", d.Config.BackAfter)
	}
	return "gave up, it is no longer ours to move"
}

func (d *Daemon) attempt(ctx context.Context, o job, only []netip.Prefix) ([]string, []netip.Prefix, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.Limit, fmt.Errorf("still so after %v", d.Limit))
	defer cancel()
	if o.gone { // each time: a partner may have come back to it
		var err error
		if only, err = d.Taker.Gone(ctx, o.Table); err != nil || len(only) == 0 {
			return nil, nil, err
		}
	}
	return d.Taker.Take(ctx, o.Table, only)
}

// news reports whether this failure has not been said for a while.
func (d *Daemon) news(failure string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.told, func(_ string, at time.Time) bool { return time.Since(at) >= often })
	if _, found := d.told[failure]; found {
		return false
	}
	if d.told == nil {
		d.told = map[string]time.Time{}
	}
	d.told[failure] = time.Now()
	return true
}

// well has the next failure of a table said.
func (d *Daemon) well(table string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.told, func(failure string, _ time.Time) bool { return strings.HasPrefix(failure, table+" ") })
}

func (d *Daemon) failing() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.fails))
}

// failed has Fails hear what a table's last attempt said, or that nothing is wrong with it.
func (d *Daemon) failed(table, failure string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	failure = requestID.ReplaceAllString(strings.ReplaceAll(failure, "\n", " "), "")
	if d.fails[table] == failure {
		return
	}
	if d.fails == nil {
		d.fails = map[string]string{}
	}
	d.fails[table] = failure
	maps.DeleteFunc(d.fails, func(_, failure string) bool { return failure == "" })
	first := ""
	for _, table := range slices.Sorted(maps.Keys(d.fails)) {
		first = cmp.Or(first, d.fails[table])
	}
	if d.Fails != nil {
		d.Fails(first)
	}
}

// say writes one line. systemd gives it the time.
func (d *Daemon) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	_, _ = io.WriteString(d.Out, line+"\n")
}
