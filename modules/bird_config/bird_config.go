// Package birdconfig is the module bird_config: the routing of a router, as
// BIRD runs it and as it boots with it.
package birdconfig

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	bird.Config
	State         string `json:"state"`
	Timeout       int    `json:"timeout"` // seconds
	Path          string `json:"path"`
	ControlSocket string `json:"control_socket"`
	Service       string `json:"service"`
	ManageUnit    bool   `json:"manage_unit"`
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
		ansible.OneOf("state", o.State, bird.Applied, bird.Confirmed, bird.Undone),
		o.host("/").Validate(),
	}
	if o.Timeout < 0 || o.Timeout > 86400 {
		errs = append(errs, errors.New("timeout: expected 0 to 86400 seconds"))
	}
	if o.State == bird.Applied {
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

// Plan works out what BIRD on this host needs.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) { return plan(ctx, o, o.host("/")) }

func plan(ctx context.Context, o Options, host bird.Host) (ansible.Plan, error) {
	have, err := host.Observe(ctx)
	if err != nil {
		return ansible.Plan{}, err
	}
	net, err := bird.ObserveNetwork()
	if err != nil {
		return ansible.Plan{}, err
	}
	c, src, own, err := bird.Resolve(o.Config, net)
	if err != nil {
		return ansible.Plan{}, err
	}
	p := ansible.Plan{Return: map[string]any{
		"pending":          have.Daemon.Pending,
		"source_addresses": append([]netip.Addr{}, own...),
		"established":      established(o, have.Daemon.Up),
		"disruptive":       []string{},
	}}
	want := bird.Want{State: o.State, Timeout: o.Timeout, Start: o.Service != ""}
	if o.State == bird.Applied {
		if want.Text, err = bird.Render(c, src); err != nil {
			return p, err
		}
		if err := bird.Check(ctx, want.Text); errors.Is(err, bird.ErrNoBird) {
			p.Warnings = append(p.Warnings, "the configuration has not been checked: "+err.Error())
		} else if err != nil {
			return p, err
		}
		p.Return["disruptive"] = append([]string{}, bird.Disrupts(have.Text, want.Text)...)
	}
	if host.Manages() {
		want.Unit = host.Unit()
	}
	if have.Damaged != "" {
		p.Warnings = append(p.Warnings, have.Damaged+": BIRD could not use this file once and was started with the last good one instead: look at what it was, and remove it")
	}
	delta, err := bird.Diff(want, have)
	if err != nil {
		return p, err
	}
	p.Before, p.After = bird.Views(have, delta)
	p.Changed = len(delta) > 0
	if delta.Pending() {
		p.Return["pending"] = true
	}
	p.Apply = func(ctx context.Context) ([]string, error) {
		done, err := host.Apply(ctx, delta)
		if err == nil && o.State != bird.Applied {
			p.Return["pending"] = false
		}
		return done, err
	}
	return p, nil
}

// established names the routers whose sessions are up, as the inventory calls
// them.
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
