// Package wgtunnel is the module wg_tunnel: the WireGuard interfaces of a
// router, as they are now and as they come up at boot.
package wgtunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/wgmesh/router/modules/guarded"
	meshgate "github.com/wgmesh/router/modules/mesh_gate"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/detach"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/wg"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	Tunnels         []plan.Tunnel     `json:"tunnels"`
	PrivateKeyFile  string            `json:"private_key_file"`
	PublicKeys      map[string]string `json:"public_keys"` // as the peers told them: some may be wrong
	Replaced        []string          `json:"replaced"`
	Removed         []string          `json:"removed"`
	Handover        int               `json:"handover"` // seconds; 0: a new key is used at once
	Hold            int               `json:"hold"`     // milliseconds
	Purge           bool              `json:"purge"`
	Stale           []string          `json:"stale"`       // nil: whatever is
	StalePeers      []string          `json:"stale_peers"` // at the other ends of those
	MSSClamp        bool              `json:"mss_clamp"`
	Input           string            `json:"input"`
	InputPorts      []int             `json:"input_ports"`
	InterfacePrefix string            `json:"interface_prefix"`
	Directory       string            `json:"directory"`
	ControlSocket   string            `json:"control_socket"`
	Gate            plan.Plan         `json:"gate"` // as mesh_plan returned it; zero: no gate
	GateDirectory   string            `json:"gate_directory"`
	BindToMachine   *bool             `json:"bind_to_machine"` // nil: as it is
	mark.Owner
	guarded.Options
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.PrivateKeyFile = plan.PrivateKeyFile
	o.MSSClamp = true
	o.Input = wg.InputAccept
	o.InterfacePrefix = "wg"
	o.Directory = plan.TunnelDirectory
	o.ControlSocket = birdc.Socket
	o.GateDirectory = plan.Directory
	bind := true
	o.BindToMachine = &bind
}

// want turns the options into the domain's type. A key that is not one is refused to
// the peer that told it; the other peers go on.
func (o Options) want() wg.Want {
	w := wg.Want{
		Tunnels: o.Tunnels, PrivateKeyFile: o.PrivateKeyFile,
		PublicKeys: map[string]plan.PublicKey{}, Refused: map[string]string{},
		Owner: o.Owner, Removed: o.Removed, Purge: o.Purge, Replace: o.Guard > 0,
		MSSClamp: o.MSSClamp, Input: o.Input, InputPorts: o.InputPorts,
		InterfacePrefix: o.InterfacePrefix, Directory: o.Directory, Tables: map[string]string{},
	}
	for _, table := range status.NFTables {
		if table.Name != "wgmesh" { // which is this module's own
			w.Tables[table.Name] = table.File
		}
	}
	if o.Stale != nil {
		w.Stale = &wg.Gone{Names: o.Stale, Peers: o.StalePeers}
	}
	if w.Hold = time.Duration(o.Hold) * time.Millisecond; o.Handover > 0 {
		w.Handover = o.Replaced
	}
	for name, text := range o.PublicKeys {
		var key plan.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil {
			w.Refused[name] = err.Error()
			continue
		}
		w.PublicKeys[name] = key
	}
	return w
}

// keep refuses the new keys of peers whose old key is in use by somebody who is
// there, but for those that were replaced.
func (o Options) keep(ctx context.Context, want wg.Want, have wg.Have) {
	changed := slices.DeleteFunc(wg.NewKeys(want, have), func(k wg.NewKey) bool {
		return slices.Contains(o.Replaced, k.Peer)
	})
	var holders []status.KeyHolder
	for _, k := range changed {
		holders = append(holders, status.KeyHolder{
			Interface: k.Tunnel, PublicKey: k.Have.String(), Told: k.Told.String(),
		})
	}
	for i, sign := range status.Alive(ctx, o.ControlSocket, holders) {
		if sign != "" {
			want.Refused[changed[i].Peer] = "it has a new public key, and whoever has the one before " + sign +
				": stop the wrong one, or name it in mesh_replaced"
		}
	}
}

// Validate refuses options that cannot be right on any host. An empty list of
// tunnels must be written down: it is an order to have none.
func (o Options) Validate() error {
	var missing, gate error
	if o.Tunnels == nil {
		missing = errors.New("tunnels: required option is missing")
	}
	if !o.Gate.IsZero() {
		if err := o.gate().Validate(); err != nil {
			gate = fmt.Errorf("gate: %w", err)
		}
	}
	return errors.Join(missing, gate, o.validateHandover(), o.want().Validate(), o.ValidateGuard())
}

// validateHandover: a peer takes no second handshake within 20 ms, and no older one.
func (o Options) validateHandover() (err error) {
	if o.Handover < 0 || o.Handover > 86400 {
		err = fmt.Errorf("handover: expected 0 to 86400 seconds, got %d", o.Handover)
	}
	if o.Hold != 0 && (o.Hold < 50 || o.Hold > 1000) {
		err = errors.Join(err, fmt.Errorf("hold: expected 0, or 50 to 1000 milliseconds, got %d", o.Hold))
	}
	return err
}

// Plan works out what the tunnels of this host need.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	host, err := wg.Open(o.Directory)
	if err != nil {
		return ansible.Plan{}, err
	}
	host.Bind(o.BindToMachine)
	want := o.want()
	have, err := wg.Observe(ctx, host, want)
	if err != nil {
		return ansible.Plan{}, err
	}
	closed, err := armored(want)
	if err != nil {
		return ansible.Plan{}, err
	}
	o.keep(ctx, want, have)
	delta, err := wg.Diff(want, have)
	if err != nil {
		return ansible.Plan{}, err
	}
	kind, err := host.Implementation(want.Tunnels)
	if err != nil {
		return ansible.Plan{}, err
	}
	before, after := wg.Views(want, have, delta)
	p := ansible.Plan{
		Warnings: warnings(want, have, closed),
		Before:   before, After: after, Changed: !delta.Empty(),
		Return: map[string]any{
			"stale":          wg.Stale(want, have),
			"stale_peers":    wg.StalePeers(want, have),
			"pending":        wg.PendingPeers(want, have),
			"implementation": kind,
		},
		Rehearse: func(context.Context) []string { return host.Rehearse(delta) },
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			done, err := wg.Apply(ctx, host, delta)
			err = errors.Join(err, o.watch(ctx, delta))
			kind, kindErr := host.Implementation(want.Tunnels)
			out := ansible.Outcome{Done: done, Return: map[string]any{"implementation": kind}}
			return out, errors.Join(err, kindErr)
		},
	}
	err = o.Protect(&p, func(c *guard.Change) error {
		guarded.Tunnels(c, want, have, delta)
		return nil
	})
	if err != nil || o.Gate.IsZero() {
		return p, err
	}
	door, err := meshgate.Plan(ctx, o.gate())
	if err != nil {
		return p, fmt.Errorf("gate: %w", err)
	}
	if door.Changed {
		p = behind(door, p, view{before, door.Before}, view{after, door.After})
	}
	return p, nil
}

// watch starts what ends the handovers of a delta.
func (o Options) watch(ctx context.Context, d wg.Delta) error {
	var errs []error
	for i, h := range d.Handovers() {
		err := detach.Start(ctx, detach.Unit{
			Name:        fmt.Sprintf("wgmesh-handover-%s-%d-%d", h.Interface, os.Getpid(), i),
			Description: "Hands the networks of " + h.Interface + " over to the new key of its peer",
			Identifier:  "wgmesh-handover",
			// The other end waits for it, but not for long.
			Properties: []string{"Nice=-10", "OOMScoreAdjust=-900"},
		}, "handover", h.Interface, h.From.String(), h.To.String(), strconv.Itoa(o.Handover))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: watch for the new key of its peer: %w", h.Interface, err))
		}
	}
	return errors.Join(errs...)
}

// armored returns a warning for each file that AppArmor keeps from the programs that
// need it, or refuses them all where it is enforced.
func armored(want wg.Want) (closed []string, err error) {
	armor := wg.LookArmor("/")
	closed = armor.Closed(want)
	if !armor.Enforced {
		return closed, nil
	}
	var errs []error
	for _, line := range closed {
		errs = append(errs, errors.New(line))
	}
	return nil, errors.Join(errs...)
}

func warnings(want wg.Want, have wg.Have, closed []string) []string {
	lines := slices.Concat(wg.Twins(want, have), wg.Unnamed(want, have), closed)
	for _, p := range wg.PendingPeers(want, have) {
		if p.Refused {
			lines = append(lines, p.Tunnel+": "+p.Reason)
		}
	}
	for _, path := range wg.Damaged(have) {
		lines = append(lines,
			path+": the tunnel's file was damaged once and put back from its copy when the interface came up: "+
				"look at what is left of it here, and remove it")
	}
	return lines
}

// gate is the door for the same tunnels, where there is one. Both are done under
// one lock and from one plan, so that nobody can ask for a tunnel that was purged.
func (o Options) gate() meshgate.Options {
	return meshgate.Options{
		State: meshgate.Updated, Plan: o.Gate, Owner: o.Owner,
		InterfacePrefix: o.InterfacePrefix, Directory: o.GateDirectory,
	}
}

// A view is what people see of the tunnels and of the gate.
type view struct {
	wg.View
	Gate any `json:"gate"`
}

// behind puts the gate before the tunnels. It is not on trial with them: who was
// removed stays out also when the change of the tunnels is taken back.
func behind(door, p ansible.Plan, before, after view) ansible.Plan {
	tunnels := p
	p.Before, p.After, p.Changed = before, after, true
	p.Apply = func(ctx context.Context) (ansible.Outcome, error) {
		out, err := door.Apply(ctx)
		if err != nil || !tunnels.Changed {
			return out, err
		}
		more, err := tunnels.Apply(ctx)
		return out.Then(more), err
	}
	return p
}
