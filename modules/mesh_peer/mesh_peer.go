// Package meshpeer is the module mesh_peer: one tunnel of this router, set up
// with what the router at its other end tells about itself. It is what a router
// that joins by itself may run on others, through `wgmesh gate`.
package meshpeer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	wgkeypair "github.com/wgmesh/router/modules/wg_keypair"
	wgpsk "github.com/wgmesh/router/modules/wg_psk"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/wg"
)

const (
	known   = "known"   // tell who this router is, and which pre-shared key the tunnel has
	peered  = "peered"  // and set up the tunnel
	settled = "settled" // the same with the key that was told last, and no other
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	State          string         `json:"state"`
	Name           string         `json:"name"` // of the router at the other end
	PublicKey      plan.PublicKey `json:"public_key"`
	SealingKey     string         `json:"sealing_key"`
	Envelopes      []psk.Envelope `json:"envelopes"`
	GateFile       string         `json:"gate_file"`
	PrivateKeyFile string         `json:"private_key_file"`
	SealingKeyFile string         `json:"sealing_key_file"`
	IdentityFile   string         `json:"identity_file"`
	PSKDirectory   string         `json:"psk_directory"`
	Directory      string         `json:"directory"` // of the wg-quick files
	ControlSocket  string         `json:"control_socket"`
	Replaced       []string       `json:"replaced"`
	Handover       int            `json:"handover"` // seconds; 0: the new key is used at once
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.State = peered
	o.GateFile = plan.Directory + "/" + gate.StateFile
	o.PrivateKeyFile = plan.PrivateKeyFile
	o.SealingKeyFile = plan.SealingKeyFile
	o.IdentityFile = plan.IdentityFile
	o.PSKDirectory = plan.PSKDirectory
	o.Directory = plan.TunnelDirectory
	o.ControlSocket = birdc.Socket
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	errs := []error{ansible.Required("name", o.Name), ansible.OneOf("state", o.State, known, peered, settled)}
	if o.State != known {
		if o.PublicKey.IsZero() {
			errs = append(errs, errors.New("public_key: required with state: peered or settled"))
		}
		errs = append(errs, ansible.Required("sealing_key", o.SealingKey))
	}
	return errors.Join(errs...)
}

// Plan works out what this end of the tunnel needs: keys of this router, the
// tunnel's pre-shared key, the interface. Each is the plan of the module that
// does it for a whole router; Apply plans again what depends on the step before.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	state, err := gate.Read(o.GateFile)
	if err != nil {
		return ansible.Plan{}, err
	}
	link, err := state.Link(o.Name)
	if err != nil {
		return ansible.Plan{}, err
	}
	e := &end{Options: o, state: state, link: link}
	steps := []func(context.Context) (ansible.Plan, error){e.keys}
	if o.State == known {
		steps = append(steps, e.held)
	} else {
		if err := errors.Join(e.checkOwn(ctx), e.checkOther(ctx)); err != nil {
			return ansible.Plan{}, err
		}
		if _, err := seal.ParsePublicKey(o.SealingKey); err != nil {
			return ansible.Plan{}, fmt.Errorf("tunnel to %s: sealing_key: %w", o.Name, err)
		}
		steps = append(steps, e.key, e.tunnel)
	}

	var out ansible.Plan
	out.Return = map[string]any{"interface": link.Tunnel.Name, "router": state.Router, "removed": state.FirstHand()}
	var before, after []any
	for _, step := range steps {
		p, err := step(ctx)
		if err != nil {
			return ansible.Plan{}, fmt.Errorf("tunnel to %s: %w", o.Name, err)
		}
		out.Changed = out.Changed || p.Changed
		out.Warnings = append(out.Warnings, p.Warnings...)
		before, after = append(before, p.Before), append(after, p.After)
		out.Report(told(p.Return))
	}
	out.Before, out.After = before, after
	out.Apply = func(ctx context.Context) (ansible.Outcome, error) {
		var all ansible.Outcome
		for _, step := range steps {
			p, err := step(ctx)
			var did ansible.Outcome
			if err == nil && p.Changed {
				did, err = p.Apply(ctx)
			}
			p.Report(did.Return)
			all = all.Then(ansible.Outcome{Done: did.Done, Return: told(p.Return)})
			if err != nil {
				return all, fmt.Errorf("tunnel to %s: %w", o.Name, err)
			}
		}
		return all, nil
	}
	return out, nil
}

// told is what the other router needs to know, and nothing about the tunnels to third ones.
func told(result map[string]any) map[string]any {
	out := map[string]any{}
	for _, key := range []string{"public", "envelopes", "psks", "known", "pending"} {
		if v, ok := result[key]; ok {
			out[key] = v
		}
	}
	return out
}

// An end is this router's end of one tunnel.
type end struct {
	Options
	state   gate.State
	link    gate.Link
	waiting bool // for the tunnel's pre-shared key
}

func (e *end) keys(ctx context.Context) (ansible.Plan, error) {
	return wgkeypair.Plan(ctx, e.keypair())
}

func (e *end) keypair() wgkeypair.Options {
	var o wgkeypair.Options
	o.SetDefaults()
	o.Name = e.state.Router
	o.PrivateKeyFile, o.SealingKeyFile, o.IdentityFile = e.PrivateKeyFile, e.SealingKeyFile, e.IdentityFile
	return o
}

// checkOwn refuses while this router's own private key is one that a change may take back:
// on an interface it would stay, since this module is not part of that change.
func (e *end) checkOwn(ctx context.Context) error {
	renewed, err := e.keypair().Renewed(ctx)
	if err == nil && renewed {
		err = fmt.Errorf("%s has a new private key, by a change that waits for its confirmation: "+
			"run again when it is confirmed, or was taken back", e.state.Router)
	}
	return err
}

// psk is what is done about the pre-shared key of this tunnel, and no other.
func (e *end) psk() wgpsk.Options {
	var o wgpsk.Options
	o.SetDefaults()
	o.Name, o.State = e.state.Router, "sealed"
	o.Tunnels = []plan.PresharedKey{e.link.PresharedKey}
	o.Directory, o.PrivateKeyFile, o.SealingKeyFile = e.PSKDirectory, e.PrivateKeyFile, e.SealingKeyFile
	o.Mesh = e.state.Mesh
	return o
}

// held looks which key this end has. An initiator that was restored from a backup finds
// out that its own is older, and makes a new one.
func (e *end) held(ctx context.Context) (ansible.Plan, error) {
	o := e.psk()
	o.Known = true
	p, err := wgpsk.Plan(ctx, o)
	p.Return = map[string]any{"known": p.Return["known"]}
	return p, err
}

// key makes the pre-shared key as the initiator, or opens it as the responder.
func (e *end) key(ctx context.Context) (ansible.Plan, error) {
	o := e.psk()
	o.Peers = []psk.Peer{{Name: e.Name, PublicKey: e.PublicKey.String(), SealingKey: e.SealingKey}}
	if e.link.PresharedKey.Role == plan.Responder {
		o.State, o.Envelopes = "opened", e.Envelopes
	}
	o.Replaced, o.ControlSocket = []string{e.Name}, e.ControlSocket // checkOther has asked who is there
	if err := o.Validate(); err != nil {
		return ansible.Plan{}, err
	}
	p, err := wgpsk.Plan(ctx, o)
	pending, _ := p.Return["pending"].([]psk.Pending)
	e.waiting = len(pending) > 0
	return p, err
}

// tunnel is the interface. Without purge, no other one is looked at. It gets the
// caller's key together with the pre-shared key that belongs to it: one of the two
// alone opens nothing, and cuts what is there.
func (e *end) tunnel(ctx context.Context) (ansible.Plan, error) {
	var o wgtunnel.Options
	o.SetDefaults()
	peers := slices.Clone(e.link.Tunnel.Peers)
	for i := range peers {
		peers[i].PresharedKeyFile = fmt.Sprintf("%s/%d.psk", e.PSKDirectory, e.link.PresharedKey.Number)
	}
	tunnel := e.link.Tunnel
	tunnel.Peers = peers
	o.Tunnels = []plan.Tunnel{tunnel}
	o.Mesh = e.state.Mesh
	o.Input = ""          // as the others have it: what this router lets in is not for its caller to say
	o.BindToMachine = nil // likewise
	if !e.waiting {
		o.PublicKeys = map[string]string{e.Name: e.PublicKey.String()}
	}
	o.Replaced, o.ControlSocket, o.Handover = []string{e.Name}, e.ControlSocket, e.Handover
	o.PrivateKeyFile, o.Directory, o.InterfacePrefix = e.PrivateKeyFile, e.Directory, e.state.InterfacePrefix
	if err := o.Validate(); err != nil {
		return ansible.Plan{}, err
	}
	p, err := wgtunnel.Plan(ctx, o)
	delete(p.Return, "pending") // the key's own says more
	return p, err
}

// checkOther refuses a caller with another key than the one that is in use, while
// whoever has that key is there: two machines that both believe to be one router
// would take the tunnel from each other forever. A replaced router is let in as
// soon as the one before is gone, or when replaced says so.
func (e *end) checkOther(ctx context.Context) error {
	host, err := wg.Open(e.Directory)
	if err != nil {
		return err
	}
	t := e.link.Tunnel
	want := wg.Want{
		Tunnels: []plan.Tunnel{t}, PrivateKeyFile: e.PrivateKeyFile, Directory: e.Directory,
		PublicKeys: map[string]plan.PublicKey{e.Name: e.PublicKey},
	}
	have, err := wg.Observe(ctx, host, want)
	if err != nil {
		return err
	}
	// Another run may have told a newer key, which is about to be used.
	if e.State == settled && len(wg.NewKeys(want, have)) > 0 {
		return fmt.Errorf("%s has told another public key since: "+
			"leave its tunnel to the run that has made that", e.Name)
	}
	if err := have.Interfaces[t.Name].Silent; err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	device := have.Interfaces[t.Name].Device
	if device == nil || len(device.Peers) == 0 || slices.Contains(e.Replaced, e.Name) {
		return nil
	}
	i := slices.IndexFunc(device.Peers, func(p wg.LivePeer) bool { return p.PublicKey == e.PublicKey })
	if i >= 0 {
		return nil
	}
	holder := status.KeyHolder{
		Interface: t.Name, PublicKey: device.Peers[0].PublicKey.String(), Told: e.PublicKey.String(),
		Address: e.link.Status.Address,
	}
	sign := status.Alive(ctx, e.ControlSocket, []status.KeyHolder{holder})[0]
	if sign == "" {
		return nil
	}
	return fmt.Errorf("%s has a tunnel to another %s, which %s: "+
		"are there two machines with this name and id? Stop the one that should not be, "+
		"or give it an id of its own; a replacement is let in when the old one is gone", e.state.Router, e.Name,
		sign)
}
