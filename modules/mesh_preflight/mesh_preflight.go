// Package meshpreflight is the module mesh_preflight: whether a host can have what is
// planned for it, before anything is written on it.
package meshpreflight

import (
	"context"
	"errors"
	"os"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/preflight"
	"github.com/wgmesh/router/pkg/wg"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	Plan           plan.Plan `json:"plan"` // as mesh_plan returned it
	Accept         []string  `json:"accept"`
	PrivateKeyFile string    `json:"private_key_file"`
	Directory      string    `json:"directory"`
	ControlSocket  string    `json:"control_socket"`
	BindToMachine  bool      `json:"bind_to_machine"`
	mark.Owner
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.PrivateKeyFile = plan.PrivateKeyFile
	o.Directory = plan.TunnelDirectory
	o.ControlSocket = birdc.Socket
	o.BindToMachine = true
}

func (o Options) want() preflight.Want {
	return preflight.Want{
		Owner: o.Owner, Plan: o.Plan, Accept: o.Accept, Socket: o.ControlSocket, Bound: o.BindToMachine,
	}
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	if o.Plan.IsZero() {
		return errors.New("plan: required option is missing")
	}
	err := o.Owner.Validate()
	for _, name := range o.Accept {
		err = errors.Join(err, ansible.OneOf("accept", name, preflight.Names()...))
	}
	return err
}

// Plan looks at the host. It has nothing to apply.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	if err := ansible.ByRoot(); err != nil {
		return ansible.Plan{}, err
	}
	want := o.want()
	known, err := o.known(ctx)
	if err != nil {
		return ansible.Plan{}, err
	}
	have, err := preflight.Observe(want, known)
	if err != nil {
		return ansible.Plan{}, err
	}
	refusals, warnings := preflight.Compare(want, have)
	var p ansible.Plan
	for _, f := range warnings {
		p.Warnings = append(p.Warnings, f.String())
	}
	var errs []error
	for _, f := range refusals {
		errs = append(errs, f)
	}
	return p, errors.Join(errs...)
}

// known asks pkg/wg and pkg/bird what of this host is ours.
func (o Options) known(ctx context.Context) (preflight.Known, error) {
	want := wg.Want{Owner: o.Owner, Tunnels: o.Plan.Tunnels, PrivateKeyFile: o.PrivateKeyFile, Directory: o.Directory}
	for _, r := range o.Plan.Gate.Removed {
		want.Removed = append(want.Removed, r.Name)
	}
	host, err := wg.Open(o.Directory)
	if err != nil {
		return preflight.Known{}, err
	}
	defer func() { _ = host.Close() }()
	s, err := wg.Look(host, want)
	k := preflight.Known{
		Ours: s.Ours, Taken: s.Taken, Listen: s.Listen, Bird: preflight.Bird{Path: bird.ConfigPath("/")},
	}
	if text, readErr := os.ReadFile(k.Bird.Path); readErr == nil && !ours(k.Bird.Path, text) {
		k.Bird.Foreign = text
	}
	if _, unfit := bird.Installed(ctx); unfit != nil && !errors.Is(unfit, bird.ErrNoBird) {
		k.Bird.Unfit = unfit.Error()
	}
	return k, err
}

// ours reports whether a bird.conf is from this collection, or stands where one of it
// stood: what somebody has done to it since is mended.
func ours(path string, text []byte) bool {
	good, _ := os.ReadFile(path + ".good") // of a new router there is none
	return bird.StampOf(text) != "" || bird.StampOf(good) != ""
}
