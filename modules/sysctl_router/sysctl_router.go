// Package sysctlrouter is the module sysctl_router: the kernel parameters of a
// host that forwards between tunnels, now and after a reboot.
package sysctlrouter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wgmesh/router/modules/guarded"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/sysctl"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	sysctl.Profile
	State         string   `json:"state"`
	ReservedPorts []string `json:"reserved_ports"` // ports and ranges; nil: those of the drop-in
	Path          string   `json:"path"`
	guarded.Options
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.RmemDefault, o.RmemMax, o.WmemMax = 1<<20, 8<<20, 8<<20
	o.Path = sysctl.Path
	o.State = present
}

const (
	present = "present" // the host has the profile
	absent  = "absent"  // it has what it had before
)

func (o Options) want() (sysctl.Want, error) {
	w := sysctl.Want{Path: o.Path, Absent: o.State == absent, Profile: o.Profile}
	if o.ReservedPorts != nil {
		ports, err := sysctl.ParsePorts(strings.Join(o.ReservedPorts, ","))
		if err != nil {
			return w, fmt.Errorf("reserved_ports: %w", err)
		}
		w.ReservedPorts = &ports
	}
	return w, nil
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	want, err := o.want()
	if o.State == absent && o.Guard != 0 {
		err = errors.Join(err,
			errors.New("guard: what is absent cannot be taken back: expected 0, or none, beside state: absent"))
	}
	return errors.Join(err, ansible.OneOf("state", o.State, present, absent), want.Validate(),
		mark.Owner{Mesh: o.Mesh}.Validate(), o.ValidateGuard())
}

// Plan works out what the host needs to have the profile.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	return o.plan(ctx, sysctl.Host{Root: "/"})
}

func (o Options) plan(ctx context.Context, host sysctl.Host) (ansible.Plan, error) {
	want, err := o.want()
	if err != nil {
		return ansible.Plan{}, err
	}
	have, err := host.Observe(ctx, want)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta, err := host.Diff(want, have)
	if err != nil {
		return ansible.Plan{}, err
	}
	p := ansible.Plan{
		Changed: !delta.Empty(), Warnings: delta.Warnings(),
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			done, err := host.Apply(ctx, delta)
			return ansible.Outcome{Done: done}, err
		},
		Return: map[string]any{
			"path":           delta.Path,
			"reserved_ports": delta.ReservedPorts,
			"file_only":      append([]string{}, delta.FileOnly...), // never null
			"defeated":       append([]sysctl.Defeat{}, delta.Defeated...),
		},
	}
	p.Before, p.After = delta.Views()
	err = o.Protect(&p, func(c *guard.Change) error { return guarded.Parameters(c, host, delta) })
	return p, err
}
