// Package birdconfig is the module bird_config: the routing of a router, as
// BIRD runs it and as it boots with it.
package birdconfig

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/mark"
)

// Floor is a state beside those of pkg/bird: refuse what Unreachable says, and leave
// BIRD alone. It goes before whatever switches forwarding on.
const Floor = "floor"

// Drained and Undrained change one line of the configuration that is there, and need to
// know nothing else of it.
const (
	Drained   = "drained"
	Undrained = "undrained"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	bird.Config
	Drain         *bool    `json:"drain"` // nil: as it is
	DrainWhy      string   `json:"drain_why"`
	State         string   `json:"state"`
	UsedBy        []string `json:"used_by"`
	Timeout       int      `json:"timeout"` // seconds
	Path          string   `json:"path"`
	ControlSocket string   `json:"control_socket"`
	Service       string   `json:"service"`
	ManageUnit    bool     `json:"manage_unit"`
	guarded.Options
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.Config.SetDefaults()
	o.State, o.Timeout = bird.Applied, 120
	o.ControlSocket = birdc.Socket
	o.Service, o.ManageUnit = "bird", true
}

// Validate refuses options that cannot be right on any host. The routing
// itself is needed only to apply it.
func (o Options) Validate() error {
	errs := []error{
		ansible.OneOf("state", o.State, bird.Applied, bird.Confirmed, bird.Undone, bird.Absent,
			Floor, Drained, Undrained),
		o.host("/").Validate(),
		o.ValidateGuard(),
	}
	if o.Timeout < 0 || o.Timeout > 86400 {
		errs = append(errs, errors.New("timeout: expected 0 to 86400 seconds"))
	}
	errs = append(errs, o.validateDrain())
	if len(o.UsedBy) > 0 && o.State != bird.Absent {
		errs = append(errs, fmt.Errorf("used_by: it goes with state: absent, not %s", o.State))
	}
	if o.State == bird.Absent && o.Guard != 0 {
		errs = append(errs,
			errors.New("guard: what is absent cannot be taken back: expected 0, or none, beside state: absent"))
	}
	if o.State == bird.Applied || o.State == Floor {
		errs = append(errs, o.Config.Validate())
	}
	return errors.Join(errs...)
}

// host names the places on the host; root is a folder that stands for /.
func (o Options) host(root string) bird.Host {
	_, err := os.Stat(root + "run/systemd/system") // as sd_booted(3) does
	units := ""
	if o.ManageUnit {
		units = root + "etc/systemd/system"
	}
	if o.Path == "" {
		o.Path = bird.ConfigPath(root)
	}
	return bird.Host{
		Path: o.Path, Socket: o.ControlSocket, Service: o.Service,
		Run: root + "run/wgmesh", Units: units, Systemd: err == nil,
	}
}

// floor names the places of what lies below BIRD's routes.
func (o Options) floor(root string, host bird.Host) floor.Host {
	f := floor.Host{Owner: o.Owner, Folder: root + "etc/wgmesh", Service: o.Service}
	if host.Systemd && o.ManageUnit {
		f.Units, f.Networkd, f.Run = root+"etc/systemd/system", root+"etc/systemd/networkd.conf.d", host.Run
	}
	return f
}

// Places are where BIRD lives on this host, and what lies below its routes.
func (o Options) Places() (bird.Host, floor.Host) {
	host := o.host("/")
	return host, o.floor("/", host)
}

// Plan works out what BIRD on this host needs.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	host, below := o.Places()
	return planBoth(ctx, o, host, below)
}

// planBoth is the floor's plan with BIRD's on top of it, under the guard when they are to
// be applied.
func planBoth(ctx context.Context, o Options, host bird.Host, below floor.Host) (ansible.Plan, error) {
	net, err := bird.ObserveNetwork()
	if err != nil {
		return ansible.Plan{}, err
	}
	c, src, own, err := bird.Resolve(o.Config, net)
	if err != nil && o.State != Floor { // which needs no way into the site
		return ansible.Plan{}, err
	}
	o.Config = c
	if o.State == bird.Applied {
		if o.Version, err = bird.Installed(ctx); err != nil && !errors.Is(err, bird.ErrNoBird) {
			return ansible.Plan{}, err
		}
		if err := o.Sayable(); err != nil {
			return ansible.Plan{}, err
		}
	}
	kept := guarded.KeptFloor{Host: below, Networks: o.Below()}
	p, trial, err := planBird(ctx, o, host, src, own, kept)
	if err != nil || o.State == bird.Undone {
		return p, err
	}
	switch {
	case o.State == bird.Applied && o.Guard == 0 && trial.pending:
		return p, nil // the marker has it: what BIRD takes back is not to be refused
	case o.State == bird.Confirmed && trial.floor != nil:
		if err := json.Unmarshal(trial.floor, &kept); err != nil {
			return p, fmt.Errorf("floor of the change that waits: %w; use state=undone and apply again", err)
		}
		below = kept.Host
	case o.State == bird.Confirmed && o.AS == 0:
		return p, nil
	}
	if o.redrains() {
		return p, o.ProtectBird(host, &p, func(c *guard.Change) error {
			guarded.Daemon(c, trial.before)
			return nil
		})
	}
	err = o.planFloor(ctx, host, below, kept.Networks, trial, &p)
	return p, err
}

// planFloor adds to the plan what the floor is to be.
func (o Options) planFloor(ctx context.Context, host bird.Host, below floor.Host, networks []netip.Prefix,
	trial trial, p *ansible.Plan,
) error {
	have, err := below.Observe(ctx)
	if err != nil {
		return err
	}
	// What a change takes off the floor goes when it is kept: until then BIRD may go
	// back to where it needs it.
	want := floor.Want{Networks: networks, Keep: trial.pending || o.State == Floor}
	if o.State == bird.Absent {
		want = floor.Want{}
	}
	delta := below.Diff(want, have)
	if !delta.Empty() {
		at := 0
		switch o.State {
		case bird.Absent:
			at = len(trial.steps)
		case bird.Confirmed: // BIRD may refuse it, and until its last step a second one finds the way on
			at = len(trial.steps) - 1
		}
		lay(p, below, delta, trial.steps, at)
	}
	if o.State == bird.Confirmed || o.State == bird.Absent {
		return nil
	}
	return o.ProtectBird(host, p, func(c *guard.Change) error {
		if o.State == bird.Applied {
			guarded.Daemon(c, trial.before)
		}
		guarded.Floor(c, below, delta, o.Below())
		return nil
	})
}

// refuse reports why a file that is to change, or to go, must not.
func (o Options) refuse(host bird.Host, have bird.Have, changes bool) error {
	if changes || o.State == bird.Absent {
		if mesh := mark.Of(string(have.Text)); mesh != "" && !o.Owns(mesh) {
			return fmt.Errorf("%s is of the mesh %s: take the host out there first (docs/leave.md)", host.Path, mesh)
		}
	}
	if o.State == bird.Absent {
		return o.refuseAbsent(host, have)
	}
	return cmp.Or(o.refuseDrain(have), o.refuseUndrain(bird.Drained(have.Present())))
}

// render returns the configuration, with its drain, and says in the plan what it is:
// checked or not, and whom it disrupts.
func (o Options) render(ctx context.Context, host bird.Host, src bird.Sources, have bird.Have,
	p *ansible.Plan,
) ([]byte, error) {
	o.Config.Drain = o.drain(bird.Drained(have.Present()), time.Now())
	drained(p, o.Config.Drain)
	text, err := o.text(have, src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host.Path, err)
	}
	if err := bird.Check(ctx, text); errors.Is(err, bird.ErrNoBird) {
		p.Warnings = append(p.Warnings, "the configuration has not been checked: "+err.Error())
	} else if err != nil {
		return nil, err
	}
	p.Return["disruptive"] = append([]string{}, bird.Disrupts(have.Text, text)...)
	return text, nil
}

// aim is the state in the words of pkg/bird.
func (o Options) aim() string {
	if o.redrains() {
		return bird.Applied
	}
	return o.State
}

func (o Options) text(have bird.Have, src bird.Sources) ([]byte, error) {
	if o.redrains() {
		return bird.Redrained(have.Present(), o.Config.Drain)
	}
	return bird.Render(o.Config, src), nil
}

// established names the routers whose sessions are up, as the inventory calls them.
func established(o Options, up []string) []string {
	names := []string{}
	for _, n := range o.Neighbors {
		if n.Router != "" && slices.Contains(up, n.Name) {
			names = append(names, n.Router)
		}
	}
	slices.Sort(names)
	return names
}

// refuseAbsent refuses to take away routing that other routers still use. One that is
// drained has sessions, and nobody uses it.
func (o Options) refuseAbsent(host bird.Host, have bird.Have) error {
	routers, err := host.Routers()
	if err != nil || bird.Drained(have.Present()).On() {
		return err
	}
	users := cause.List{}
	for _, r := range routers {
		if slices.Contains(o.UsedBy, r.Name) && slices.Contains(have.Daemon.Up, r.Protocol) {
			users = append(users, r.Name)
		}
	}
	if len(users) == 0 {
		return nil
	}
	return cause.New("it is still used by %s: run wgmesh.router.drain for it first, or set mesh_reset_force", users)
}
