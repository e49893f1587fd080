// Package meshgate is the module mesh_gate: which routers may ask this one for
// the tunnel between the two, over SSH, and what this one knows about them.
package meshgate

import (
	"context"
	"errors"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	State           string                        `json:"state"`
	Plan            plan.Plan                     `json:"plan"` // as mesh_plan returned it
	KeepRemoved     bool                          `json:"keep_removed"`
	Heard           map[string][]plan.GateRemoved `json:"heard"` // what mesh_peer returned as removed, by who was asked
	InterfacePrefix string                        `json:"interface_prefix"`
	Directory       string                        `json:"directory"`
	mark.Owner
}

// The values of the option state.
const (
	present = "present" // make the door
	Updated = "updated" // bring it up to date where there is one
)

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.State = present
	o.InterfacePrefix = "wg"
	o.Directory = plan.Directory
}

func (o Options) want() gate.Want {
	p := o.Plan
	return gate.Want{
		Owner: o.Owner, Router: p.Router.Name, ID: p.Router.ID, InterfacePrefix: o.InterfacePrefix,
		Tunnels: p.Tunnels, PresharedKeys: p.PresharedKeys, Status: p.Status.Tunnels,
		Peers: p.Gate.Peers, Removed: p.Gate.Removed, Apart: p.Gate.Apart,
		OnlyUpdate: o.State == Updated, KeepRemoved: o.KeepRemoved, Heard: o.Heard, Directory: o.Directory,
	}
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	if o.Plan.IsZero() {
		return errors.New("plan: required option is missing")
	}
	return errors.Join(ansible.OneOf("state", o.State, present, Updated), o.want().Validate())
}

// Plan works out which files of the gate have to be written.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	var door gate.Door
	want := o.want()
	have, err := door.Observe(ctx, want)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta, err := door.Diff(want, have)
	if err != nil {
		return ansible.Plan{}, err
	}
	removed := []string{}
	for _, r := range delta.Removed {
		removed = append(removed, r.Name)
	}
	p := ansible.Plan{
		Changed: !delta.Empty(), Warnings: delta.Warnings(), Return: map[string]any{"removed": removed},
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			done, err := door.Apply(ctx, delta)
			return ansible.Outcome{Done: done}, err
		},
	}
	p.Before, p.After = delta.Views()
	return p, nil
}
