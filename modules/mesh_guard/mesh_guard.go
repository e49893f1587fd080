// Package meshguard is the module mesh_guard: it settles the change of a router that
// waits for its confirmation, tunnels, parameters and BIRD as one.
package meshguard

import (
	"context"
	"strings"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/guard"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	State  string `json:"state"`
	First  string `json:"first"`  // of the run; empty: the same
	Change string `json:"change"` // empty: whatever waits. What is undone is all of it, also what came after
}

const (
	confirmed = "confirmed"
	undone    = "undone"
)

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error { return ansible.OneOf("state", o.State, confirmed, undone) }

// Plan works out what is left to settle.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) { return plan(ctx, guard.Host(), o) }

func plan(ctx context.Context, g guard.Guard, o Options) (ansible.Plan, error) {
	j, err := g.Read()
	if err != nil {
		return ansible.Plan{}, err
	}
	id, _, _ := strings.Cut(o.Change, "/")
	own := func(j guard.Journal) bool { return id == "" || j.ID == id }
	if j == nil || !own(*j) {
		if o.State == undone { // it waits no more
			return ansible.Plan{}, nil
		}
		return ansible.Plan{}, g.Kept(ctx, id)
	}
	// Where the time was up in the middle of a run, what it wrote after that is another change.
	if first, _, _ := strings.Cut(o.First, "/"); o.State == confirmed && first != "" && first != j.ID {
		if err := g.Kept(ctx, first); err != nil {
			return ansible.Plan{}, err
		}
	}
	p := ansible.Plan{
		Before: view{Waits: files(*j), Since: j.Since.Format("15:04:05")}, After: view{Waits: []string{}},
		Changed: true,
	}
	if o.State == undone {
		p.Apply = func(ctx context.Context) (ansible.Outcome, error) {
			done, err := guarded.Undo(ctx, g, own)
			return ansible.Outcome{Done: done}, err
		}
		return p, nil
	}
	if j.Overdue() {
		return p, guard.ErrOverdue
	}
	if o.Change != "" && o.Change != j.Change() {
		return p, guard.ErrChanged
	}
	settle, err := guarded.Confirm(ctx, g, *j)
	p.Apply = func(ctx context.Context) (ansible.Outcome, error) {
		done, err := settle(ctx)
		return ansible.Outcome{Done: done}, err
	}
	return p, err
}

// A view is what --diff shows: the files of the change that waits.
type view struct {
	Since string   `json:"since,omitempty"`
	Waits []string `json:"waits"`
}

func files(j guard.Journal) []string {
	out := []string{}
	for _, f := range j.Files {
		out = append(out, f.Path)
	}
	return out
}
