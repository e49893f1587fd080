// Package wgkeypair is the module wg_keypair: the identity of a router, made on
// the router. Only public halves leave it.
package wgkeypair

import (
	"context"
	"errors"
	"maps"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/keypair"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	State          string `json:"state"`
	Name           string `json:"name"`
	PrivateKeyFile string `json:"private_key_file"`
	SealingKeyFile string `json:"sealing_key_file"`
	IdentityFile   string `json:"identity_file"`
	Regenerate     string `json:"regenerate"`
	PublicKey      string `json:"public_key"` // as this run has told it; empty: any
	ImageBuild     bool   `json:"image_build"`
	BindToMachine  bool   `json:"bind_to_machine"`
	mark.Owner
	guarded.Options
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.PrivateKeyFile = plan.PrivateKeyFile
	o.SealingKeyFile = plan.SealingKeyFile
	o.IdentityFile = plan.IdentityFile
	o.Regenerate = string(keypair.Partly)
	o.BindToMachine = true
	o.State = present
}

const (
	present = "present" // the router has keys
	absent  = "absent"  // it has none
)

func (o Options) want() keypair.Want {
	return keypair.Want{
		Files:      keypair.Files{PrivateKey: o.PrivateKeyFile, SealingKey: o.SealingKeyFile, Identity: o.IdentityFile},
		Regenerate: keypair.Regenerate(o.Regenerate), ImageBuild: o.ImageBuild,
		Absent: o.State == absent,
	}
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	var err error
	if o.State == absent && o.Guard != 0 {
		err = errors.New("guard: what is absent cannot be taken back: expected 0, or none, beside state: absent")
	}
	return errors.Join(err, ansible.OneOf("state", o.State, present, absent),
		ansible.Required("name", o.Name), o.want().Validate(), o.Owner.Validate(), o.ValidateGuard())
}

// Plan works out which keys have to be made or mended. It is the first of a mesh to
// write on a host, so it looks whether the host is in another one.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	claims, err := mark.Observe("/")
	if err != nil {
		return ansible.Plan{}, err
	}
	if err := o.Refuse(claims); err != nil {
		return ansible.Plan{}, err
	}
	return o.plan(ctx, keypair.Host{Unbound: !o.BindToMachine})
}

func (o Options) plan(ctx context.Context, host keypair.Host) (ansible.Plan, error) {
	want := o.want()
	have, err := host.Observe(ctx, want)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta, err := host.Diff(want, have)
	if err != nil {
		return ansible.Plan{}, err
	}
	now := delta.Public().PublicKey
	if o.Regenerate == string(keypair.Always) {
		now = have.Private.Public // which is to go
	}
	switch {
	case o.PublicKey == "" || now == o.PublicKey:
	case now == "" && o.Regenerate == "never": // as before its first key
		return ansible.Plan{}, cause.New("%s was taken back before this run had ended: "+
			"set mesh_confirm_timeout higher, and run again", o.PrivateKeyFile)
	default:
		return ansible.Plan{}, cause.New("%s is not the key that the others were told: "+
			"another run has changed it since: run again when that has ended", o.PrivateKeyFile)
	}
	p := ansible.Plan{
		Changed: !delta.Empty(), Warnings: delta.Warnings(), Return: report(o.Name, delta.Public()),
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			out, err := host.Apply(ctx, delta)
			return ansible.Outcome{Done: out.Done, Return: report(o.Name, out.Public)}, err
		},
	}
	p.Before, p.After = delta.Views()
	if o.Guard > 0 {
		renewed, err := o.renewed(guard.Host(), have)
		if err != nil {
			return p, err
		}
		p.Report(map[string]any{"renewed": renewed})
	}
	err = o.Protect(&p, func(c *guard.Change) error {
		c.Files = append(c.Files, o.PrivateKeyFile, o.SealingKeyFile, o.IdentityFile)
		return nil
	})
	return p, err
}

// Renewed reports whether a change that waits for its confirmation has replaced the private
// key of this router.
func (o Options) Renewed(ctx context.Context) (bool, error) {
	have, err := keypair.Host{Unbound: !o.BindToMachine}.Observe(ctx, o.want())
	if err != nil {
		return false, err
	}
	return o.renewed(guard.Host(), have)
}

// renewed reports whether a change that waits for its confirmation has replaced the private
// key. Who has the one before is this machine then.
func (o Options) renewed(g guard.Guard, have keypair.Have) (bool, error) {
	j, err := g.Read()
	if err != nil || j == nil {
		return false, err
	}
	for _, f := range j.Files {
		if f.Path != o.PrivateKeyFile {
			continue
		}
		text, err := g.Text(f)
		defer seal.Wipe(text)
		if err != nil {
			return false, err
		}
		key, err := seal.ParseWGPrivate(text)
		defer key.Wipe()
		before := key.Public()
		return err == nil && !before.IsZero() && before.String() != have.Private.Public, nil
	}
	return false, nil
}

// report is the result: null for a key that is not made yet.
func report(name string, p keypair.Public) map[string]any {
	keys := map[string]any{"name": name, "public_key": nil, "sealing_key": nil}
	if p.PublicKey != "" {
		keys["public_key"] = p.PublicKey
	}
	if p.SealingKey != "" {
		keys["sealing_key"] = p.SealingKey
	}
	result := maps.Clone(keys)
	result["public"] = keys
	return result
}
