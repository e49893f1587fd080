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
	IPv6          bool     `json:"ipv6"`
	Interfaces    []string `json:"interfaces"`     // nil: those of the drop-in
	ReservedPorts []string `json:"reserved_ports"` // ports and ranges; nil: those of the drop-in
	RmemDefault   int      `json:"rmem_default"`   // bytes
	RmemMax       int      `json:"rmem_max"`       // bytes
	WmemMax       int      `json:"wmem_max"`       // bytes
	Path          string   `json:"path"`
	Mesh          string   `json:"mesh"` // empty: that of the drop-in
	guarded.Options
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.RmemDefault, o.RmemMax, o.WmemMax = 1<<20, 8<<20, 8<<20
	o.Path = sysctl.Path
}

// profile turns the options into the domain's type.
func (o Options) profile() (sysctl.Profile, error) {
	p := sysctl.Profile{
		Mesh: o.Mesh,
		IPv6: o.IPv6, Interfaces: o.Interfaces,
		RmemDefault: o.RmemDefault, RmemMax: o.RmemMax, WmemMax: o.WmemMax,
	}
	if o.ReservedPorts != nil {
		ports, err := sysctl.ParsePorts(strings.Join(o.ReservedPorts, ","))
		if err != nil {
			return p, fmt.Errorf("reserved_ports: %w", err)
		}
		p.ReservedPorts = &ports
	}
	return p, nil
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	p, err := o.profile()
	return errors.Join(err, p.Validate(), mark.Owner{Mesh: o.Mesh}.Validate(), o.ValidateGuard())
}

// Plan works out what the host needs to have the profile.
func Plan(_ context.Context, o Options) (ansible.Plan, error) { return plan("/", o) }

func plan(root string, o Options) (ansible.Plan, error) {
	profile, err := o.profile()
	if err != nil {
		return ansible.Plan{}, err
	}
	host := sysctl.Host{Root: root}
	p, err := sysctl.Observe(host, profile, o.Path)
	if err != nil {
		return ansible.Plan{}, err
	}
	out := ansible.Plan{
		Before: p.Before, After: p.After, Changed: p.Changed(), Warnings: p.Warnings,
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			done, err := sysctl.Writer{Root: root}.Apply(ctx, p)
			return ansible.Outcome{Done: done}, err
		},
		Return: map[string]any{
			"path":           p.Path,
			"reserved_ports": p.ReservedPorts,
			"file_only":      append([]string{}, p.FileOnly...), // never null
			"defeated":       append([]sysctl.Defeat{}, p.Defeated...),
		},
	}
	err = o.Protect(&out, func(c *guard.Change) error { return guarded.Parameters(c, host, p) })
	return out, err
}
