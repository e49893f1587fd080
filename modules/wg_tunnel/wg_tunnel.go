// Package wgtunnel is the module wg_tunnel: the WireGuard interfaces of a
// router, as they are now and as they come up at boot.
package wgtunnel

import (
	"context"
	"errors"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/wg"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	Tunnels         []wg.Tunnel             `json:"tunnels"`
	PrivateKeyFile  string                  `json:"private_key_file"`
	PublicKeys      map[string]wg.PublicKey `json:"public_keys"`
	Purge           bool                    `json:"purge"`
	MSSClamp        bool                    `json:"mss_clamp"`
	Input           string                  `json:"input"`
	InputPorts      []int                   `json:"input_ports"`
	InterfacePrefix string                  `json:"interface_prefix"`
	Directory       string                  `json:"directory"`
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.PrivateKeyFile = "/etc/wireguard/wgmesh.key"
	o.MSSClamp = true
	o.Input = wg.InputAccept
	o.InterfacePrefix = "wg"
	o.Directory = "/etc/wireguard"
}

// want turns the options into the domain's type.
func (o Options) want() wg.Want {
	return wg.Want{
		Tunnels: o.Tunnels, PrivateKeyFile: o.PrivateKeyFile, PublicKeys: o.PublicKeys,
		Purge: o.Purge, MSSClamp: o.MSSClamp, Input: o.Input, InputPorts: o.InputPorts,
		InterfacePrefix: o.InterfacePrefix, Directory: o.Directory,
	}
}

// Validate refuses options that cannot be right on any host. An empty list of
// tunnels must be written down: it is an order to have none.
func (o Options) Validate() error {
	var missing error
	if o.Tunnels == nil {
		missing = errors.New("tunnels: required option is missing")
	}
	return errors.Join(missing, o.want().Validate())
}

// Plan works out what the tunnels of this host need.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	host, err := wg.Open(o.Directory)
	if err != nil {
		return ansible.Plan{}, err
	}
	want := o.want()
	have, err := wg.Observe(ctx, host, want)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta, err := wg.Diff(want, have)
	if err != nil {
		return ansible.Plan{}, err
	}
	kind, err := host.Implementation(want.Tunnels)
	if err != nil {
		return ansible.Plan{}, err
	}
	before, after := wg.Views(want, have, delta)
	result := map[string]any{
		"stale":          wg.Stale(want, have),
		"pending":        wg.PendingPeers(want, have),
		"implementation": kind,
	}
	var warnings []string
	for _, path := range wg.Damaged(have) {
		warnings = append(warnings, path+": the tunnel's file was damaged once and put back from its copy when the interface came up: look at what is left of it here, and remove it")
	}
	return ansible.Plan{
		Warnings: warnings,
		Before:   before, After: after, Changed: !delta.Empty(), Return: result,
		Apply: func(ctx context.Context) ([]string, error) {
			done, err := wg.Apply(ctx, host, delta)
			kind, kindErr := host.Implementation(want.Tunnels)
			result["implementation"] = kind
			return done, errors.Join(err, kindErr)
		},
	}, nil
}
