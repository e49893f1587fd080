// Package meshgate is the module mesh_gate: which routers may ask this one for
// the tunnel between the two, over SSH, and what this one knows about them.
package meshgate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/mesh"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	Plan            map[string]any `json:"plan"` // a mesh.Plan, as mesh_plan returned it
	InterfacePrefix string         `json:"interface_prefix"`
	Directory       string         `json:"directory"`
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.InterfacePrefix = "wg"
	o.Directory = "/etc/wgmesh"
}

func (o Options) want() (gate.Want, error) {
	raw, err := json.Marshal(o.Plan)
	if err != nil {
		return gate.Want{}, err
	}
	var p mesh.Plan
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return gate.Want{}, fmt.Errorf("plan: expected the plan that mesh_plan of this collection returned: %w", err)
	}
	return gate.Want{
		Router: p.Router.Name, InterfacePrefix: o.InterfacePrefix, Tunnels: p.Tunnels, PresharedKeys: p.PresharedKeys,
		Status: p.Status.Tunnels, Peers: p.Gate.Peers, Directory: o.Directory,
	}, nil
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	if len(o.Plan) == 0 {
		return errors.New("plan: required option is missing")
	}
	want, err := o.want()
	if err != nil {
		return err
	}
	return want.Check()
}

// Plan works out which files of the gate have to be written.
func Plan(_ context.Context, o Options) (ansible.Plan, error) {
	want, err := o.want()
	if err != nil {
		return ansible.Plan{}, err
	}
	have, err := gate.Observe(want)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta, err := gate.Diff(want, have)
	if err != nil {
		return ansible.Plan{}, err
	}
	before, after, err := gate.Views(want, have)
	return ansible.Plan{
		Before: before, After: after, Changed: len(delta) > 0,
		Apply: func(context.Context) ([]string, error) { return gate.Apply(delta) },
	}, err
}
