// Package meshmeasure is the module mesh_measure: what the tunnels of a router
// cost, in time and throughput, beside the same way outside of them.
package meshmeasure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/measure"
	"github.com/wgmesh/router/pkg/plan"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	measure.Request
	State    string               `json:"state"`
	Tunnels  []plan.MeasureTunnel `json:"tunnels"`
	Results  []measure.Result     `json:"results"`
	Interval float64              `json:"interval"` // seconds
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.State, o.Ping, o.Count, o.Size, o.Interval = "measured", true, 10, 1272, 0.2
	o.Parallel, o.Seconds, o.Port = 4, 5, 5201
}

// Validate refuses options that cannot be right on any router.
func (o Options) Validate() error {
	errs := []error{ansible.OneOf("state", o.State, "measured", "serving", "stopped")}
	within := func(name string, value, least, most int) {
		if value < least || value > most {
			errs = append(errs, fmt.Errorf("%s: %d; expected %d to %d", name, value, least, most))
		}
	}
	within("count", o.Count, 1, 1000)
	within("size", o.Size, 16, 65000) // ping puts the time of sending into 16 bytes
	within("parallel", o.Parallel, 1, 128)
	within("seconds", o.Seconds, 1, 600)
	within("port", o.Port, 1, 65535)
	if !(o.Interval >= 0.01 && o.Interval <= 60) {
		errs = append(errs, fmt.Errorf("interval: %g; expected 0.01 to 60 seconds", o.Interval))
	}
	for i, t := range o.Tunnels {
		if t.Name == "" || t.Peer == "" || !t.Address.IsValid() {
			errs = append(errs, fmt.Errorf("tunnels[%d]: expected name, peer and address", i))
		}
		for _, a := range []netip.Addr{t.Address, t.Endpoint} {
			if a.IsValid() && (a.IsUnspecified() || a.IsMulticast()) { // a server would listen there for others
				errs = append(errs, fmt.Errorf("tunnels[%d]: %s: expected the address of a router", i, a))
			}
		}
	}
	return errors.Join(errs...)
}

// Plan says what would be measured. Packets are sent, and servers started, by
// its Record only: they are not a change, and check mode has none of them.
func Plan(_ context.Context, o Options) (ansible.Plan, error) {
	r, tunnels := o.request(), o.Tunnels
	var p ansible.Plan
	switch o.State {
	case "measured":
		planned := slices.Clone(o.Results)
		for _, t := range tunnels {
			planned = append(planned, r.Planned(t))
		}
		p.Return = report(planned)
		p.Record = func(ctx context.Context) (map[string]any, error) {
			results := slices.Clone(o.Results)
			for _, t := range tunnels {
				results = append(results, r.Measure(ctx, t))
			}
			return report(results), ctx.Err()
		}
	case "serving":
		p.Return = report(nil)
		p.Record = func(ctx context.Context) (map[string]any, error) {
			return report(r.Serve(ctx, tunnels)), ctx.Err()
		}
	case "stopped":
		p.Record = func(ctx context.Context) (map[string]any, error) { return nil, r.Stop(ctx, tunnels) }
	}
	return p, nil
}

// report is the result: what was measured, as data and for people.
func report(results []measure.Result) map[string]any {
	results = measure.Merge(results)
	texts, problems := []string{}, measure.Problems(results)
	for _, problem := range problems {
		texts = append(texts, problem.Text())
	}
	return map[string]any{"tunnels": results, "lines": measure.Table(results), "problems": texts, "troubles": problems}
}

func (o Options) request() measure.Request {
	r := o.Request
	r.Interval = time.Duration(o.Interval * float64(time.Second))
	if r.Router == "" {
		r.Router, _ = os.Hostname() // empty on a host without a name
	}
	return r
}
