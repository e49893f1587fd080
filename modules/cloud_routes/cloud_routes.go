// Package cloudroutes is the module cloud_routes: which router a cloud's route
// tables send the other sites' networks to.
package cloudroutes

import (
	"context"
	"io/fs"
	"os"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// A Planner is the module with what it stands on.
type Planner struct {
	Pace  cloud.Pace
	DMI   fs.FS                   // what the firmware says about this machine
	Allow func(host string) error // which hosts may be called; nil: all
}

// Plan finds the tables and reads where the prefixes go.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	return Planner{Pace: cloud.DefaultPace(), DMI: os.DirFS("/sys/class/dmi/id")}.Plan(ctx, o)
}

// Plan finds the tables and reads where the prefixes go.
func (p Planner) Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	deadline := time.Now().Add(time.Duration(o.Timeout) * time.Second)
	within := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, deadline)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	name, err := p.which(o)
	if err != nil {
		return ansible.Plan{}, err
	}
	tables, err := p.connect(ctx, name, o)
	if err != nil {
		return ansible.Plan{}, err
	}
	want := o.want(name, tables.Via())
	first, notes := want, []string(nil) // what is there beside ours is looked for once
	if !want.Absent {
		first.Note = func(note string) { notes = append(notes, note) }
	}
	have, err := observe(ctx, tables, first)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta, refused := route.Diff(want, have)
	result := map[string]any{
		"cloud": name, "via": want.Via, "routes": shown(have), "verified": len(delta) == 0 && refused == nil,
	}
	if refused != nil { // nothing is written when a part of it cannot be
		return ansible.Plan{Return: result, Warnings: notes}, refused
	}
	plan := ansible.Plan{
		Before: shown(have), After: shown(route.After(have, delta)), Changed: len(delta) > 0,
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			ctx, cancel := within(ctx)
			defer cancel()
			done, err := route.Apply(ctx, p.Pace, tables, want, delta)
			out := ansible.Outcome{Done: done}
			if err != nil {
				return out, err
			}
			out.Return = map[string]any{"verified": true}
			now, err := tables.Observe(ctx, want) // with what only the cloud knows: names, warnings
			if err == nil {
				out.Return["routes"], out.Warnings = shown(now), route.Troubles(want, now)
			}
			return out, err
		},
		Rehearse: func(ctx context.Context) []string {
			ctx, cancel := within(ctx)
			defer cancel()
			return route.Rehearse(ctx, tables, want, delta)
		},
		Return: result, Warnings: notes,
	}
	if len(delta) == 0 {
		plan.Warnings = append(notes, route.Troubles(want, have)...)
	}
	return plan, nil
}

func observe(ctx context.Context, r route.Reader, w route.Want) ([]route.Route, error) {
	return r.Observe(ctx, w)
}

// shown are routes as a list that JSON does not turn into null.
func shown(routes []route.Route) []route.Route { return append([]route.Route{}, routes...) }
