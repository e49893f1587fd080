// Package wgpsk is the module wg_psk: the pre-shared keys of a router's tunnels.
// Only envelopes and ids leave the router.
package wgpsk

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/status"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	psk.Want
	State           string   `json:"state"` // sealed or opened
	PrivateKeyFile  string   `json:"private_key_file"`
	SealingKeyFile  string   `json:"sealing_key_file"`
	Known           bool     `json:"known"`
	Replaced        []string `json:"replaced"`
	InterfacePrefix string   `json:"interface_prefix"`
	ControlSocket   string   `json:"control_socket"`
	guarded.Options
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.Directory = plan.PSKDirectory
	o.PrivateKeyFile = plan.PrivateKeyFile
	o.SealingKeyFile = plan.SealingKeyFile
	o.InterfacePrefix, o.ControlSocket = "wg", birdc.Socket
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	errs := []error{
		ansible.Required("name", o.Name),
		ansible.OneOf("state", o.State, "sealed", "opened"),
		o.Want.Validate(),
		o.ValidateGuard(),
	}
	if o.State == "sealed" && len(o.Envelopes) > 0 {
		errs = append(errs, errors.New("envelopes: only with state: opened"))
	}
	return errors.Join(errs...)
}

// Plan works out which keys have to be made, or opened and stored.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	host := psk.Host{PrivateKeyFile: o.PrivateKeyFile, SealingKeyFile: o.SealingKeyFile, Opens: o.State == "opened"}
	want := o.Want
	want.Now = time.Now()
	have, err := host.Observe(ctx, want)
	if err != nil {
		return ansible.Plan{}, err
	}
	have.Alive = o.alive(ctx, psk.NewKeys(want, have))
	delta, err := host.Diff(want, have)
	if err != nil {
		return ansible.Plan{}, err
	}
	if delta.Empty() {
		defer delta.Wipe() // Apply, which does it otherwise, is not called
	}
	p := ansible.Plan{
		Changed: !delta.Empty(), Warnings: delta.Warnings(), Return: o.report(delta.Outcome()),
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			out, err := host.Apply(ctx, delta)
			return ansible.Outcome{Done: out.Done, Return: o.report(out)}, err
		},
	}
	p.Before, p.After = delta.Views()
	p.Report(map[string]any{"pending": append([]psk.Pending{}, delta.Pending...)})
	if o.Known {
		p.Report(map[string]any{"known": psk.Known(want, have)})
	}
	err = o.Protect(&p, func(c *guard.Change) error {
		c.Files = append(c.Files, delta.Touched()...)
		return nil
	})
	return p, err
}

// report is what the other routers need of this one.
func (o Options) report(out psk.Outcome) map[string]any {
	if o.State == "sealed" {
		return map[string]any{"psks": out.Held, "envelopes": out.Envelopes}
	}
	return map[string]any{"psks": out.Held}
}

// alive asks, for the tunnels whose peer has a new key, whether whoever has the one
// before is there. A peer that was replaced is not asked about.
func (o Options) alive(ctx context.Context, before map[int]string) map[int]string {
	var numbers []int
	var holders []status.KeyHolder
	for _, t := range o.Tunnels {
		if key, changed := before[t.Number]; changed && !slices.Contains(o.Replaced, t.Peer) {
			numbers = append(numbers, t.Number)
			holders = append(holders, status.KeyHolder{
				Interface: cmp.Or(t.Interface, o.InterfacePrefix+strconv.Itoa(t.Number)),
				PublicKey: key, Told: o.told(t.Peer),
			})
		}
	}
	out := map[int]string{}
	for i, sign := range status.Alive(ctx, o.ControlSocket, holders) {
		out[numbers[i]] = sign
	}
	return out
}

// told is the public key that a peer says it has.
func (o Options) told(name string) string {
	i := slices.IndexFunc(o.Peers, func(p psk.Peer) bool { return p.Name == name })
	if i < 0 {
		return ""
	}
	return o.Peers[i].PublicKey
}
