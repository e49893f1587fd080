package birdconfig

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/floor"
)

// A trial has what BIRD was before, whether a change of it waits afterwards, and the floor
// of one that waited.
type trial struct {
	before  bird.Before
	pending bool
	floor   []byte
	steps   []step
}

func planBird(ctx context.Context, o Options, host bird.Host, src bird.Sources,
	own []netip.Addr, kept guarded.KeptFloor,
) (p ansible.Plan, t trial, err error) {
	if o.State == Floor {
		return withoutBird(), t, nil
	}
	have, err := host.Observe(ctx)
	if err != nil {
		return p, t, err
	}
	p = ansible.Plan{Return: map[string]any{
		"pending":          have.Daemon.Pending,
		"source_addresses": append([]netip.Addr{}, own...),
		"established":      established(o, have.Daemon.Up),
		"disruptive":       []string{},
	}}
	drained(&p, bird.Drained(have.Present()))
	want := bird.Want{State: o.aim(), Timeout: o.Timeout, Start: o.Service != "", Renew: o.Guard != 0}
	changes := o.redrains() || o.State == bird.Applied
	if err := o.refuse(host, have, changes); err != nil {
		return p, t, err
	}
	if o.takesBack(have) {
		want.State, changes = bird.Undone, false
		drained(&p, bird.Drained(have.Text))
	}
	if changes {
		if want.Text, err = o.render(ctx, host, src, have, &p); err != nil {
			return p, t, err
		}
	}
	if have.Marker != nil {
		t.floor = have.Marker.Floor
	}
	if want.Floor, err = o.keeps(have, kept); err != nil {
		return p, t, err
	}
	if host.Manages() {
		want.Unit = host.Unit()
	}
	p.Warnings = append(p.Warnings, damaged(have)...)
	delta, err := bird.Diff(want, have)
	if err != nil {
		return p, t, err
	}
	p.Before, p.After = bird.Views(have, delta)
	p.Changed = len(delta) > 0
	t.before = have.Before(host)
	t.pending = delta.Pending(have.Daemon.Pending)
	if want.State == bird.Applied {
		p.Return["pending"] = t.pending
	}
	if err := host.CannotStart(delta); err != nil {
		p.Rehearse = func(context.Context) []string { return []string{err.Error()} }
	}
	t.steps = stepsOf(host, want.State, delta)
	p.Apply = inOrder(t.steps)
	return p, t, nil
}

func damaged(have bird.Have) []string {
	if have.Damaged == "" {
		return nil
	}
	return []string{have.Damaged + ": BIRD could not use this file once " +
		"and was started with the last good one instead: look at what it was, and remove it"}
}

// withoutBird is what a run returns that is about the floor alone.
func withoutBird() ansible.Plan {
	return ansible.Plan{Return: map[string]any{
		"pending": false, "source_addresses": []netip.Addr{}, "established": []string{},
		"disruptive": []string{}, "drained": false, "drained_why": "",
	}}
}

func stepsOf(host bird.Host, state string, delta bird.Delta) (steps []step) {
	parts := []bird.Delta{delta}
	if n := len(delta); state == bird.Confirmed && n > 1 {
		parts = []bird.Delta{delta[:n-1], delta[n-1:]}
	}
	for _, d := range parts {
		steps = append(steps, func(ctx context.Context) (ansible.Outcome, error) {
			done, err := host.Apply(ctx, d)
			out := ansible.Outcome{Done: done}
			if err == nil && state != bird.Applied {
				out.Return = map[string]any{"pending": false}
			}
			return out, err
		})
	}
	return steps
}

// keeps is the floor that waits with BIRD's change. Under the guard none does: it is laid
// at once, and the guard takes it back. A drain changes nothing of one that waits.
func (o Options) keeps(have bird.Have, kept guarded.KeptFloor) ([]byte, error) {
	switch {
	case o.Guard != 0:
		return nil, nil
	case o.State == bird.Applied:
		return json.Marshal(kept)
	case o.redrains() && have.Daemon.Pending && have.Marker != nil:
		return have.Marker.Floor, nil
	}
	return nil, nil
}

// lay puts the floor's part below BIRD's, whose steps they are: before it, or after a BIRD
// that ends.
func lay(p *ansible.Plan, below floor.Host, delta floor.Delta, steps []step, at int) {
	before, after := delta.Views()
	for _, view := range []struct {
		of   *any
		text string
	}{{&p.Before, before}, {&p.After, after}} {
		if bird, ok := (*view.of).(string); ok {
			view.text = bird + view.text
		}
		*view.of = view.text
	}
	p.Changed = true
	p.Apply = inOrder(slices.Insert(steps, at, func(ctx context.Context) (ansible.Outcome, error) {
		done, err := below.Apply(ctx, delta)
		return ansible.Outcome{Done: done}, err
	}))
}

type step = func(context.Context) (ansible.Outcome, error)

func inOrder(steps []step) step {
	return func(ctx context.Context) (out ansible.Outcome, err error) {
		for _, step := range steps {
			more, err := step(ctx)
			if out = out.Then(more); err != nil {
				return out, err
			}
		}
		return out, nil
	}
}
