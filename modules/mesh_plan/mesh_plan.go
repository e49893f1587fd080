// Package meshplan is the module mesh_plan: the whole mesh in, one router's
// part of it out. It computes and changes nothing.
package meshplan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

const noFaults = "none"

// Options are the options of the module, as its documentation has them.
type Options struct {
	Router    string `json:"router"`    // whose plan is wanted
	GateFile  string `json:"gate_file"` // who is out, whatever the inventory says
	KnownOnly bool   `json:"known_only"`
	// TunnelDirectory is where the tunnels are that the router has; empty: not to be looked at.
	TunnelDirectory string `json:"tunnel_directory"`
	// Faults are what is tried on a model of the network. The action plugin has the
	// controller do it: the model is in a program that routers do not have.
	Faults    string `json:"faults"`
	mesh.Mesh        // the other options
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.Faults = noFaults
	o.Mesh.SetDefaults()
}

// Validate leaves the mesh to Plan, so that an unknown router is listed together
// with all other problems of it.
func (o Options) Validate() error {
	if o.KnownOnly && o.GateFile == "" {
		return errors.New("known_only: needs gate_file, which says who is known")
	}
	if err := ansible.OneOf("faults", o.Faults, noFaults, "one", "two", "auto"); err != nil {
		return err
	}
	if o.Faults != noFaults {
		return fmt.Errorf("faults: %s is tried on the controller: "+
			"ask for it in a task of mesh_plan_info, and not in a step", o.Faults)
	}
	return nil
}

// Plan computes what the other modules have to make on the router. There is
// never anything to apply.
func Plan(_ context.Context, o Options) (ansible.Plan, error) {
	left, warnings, err := o.leaveOut()
	if err != nil {
		return ansible.Plan{}, err
	}
	out, err := o.Mesh.Plan(o.Router)
	if err != nil {
		return ansible.Plan{}, err
	}
	if err := o.renumbers(out); err != nil {
		return ansible.Plan{}, err
	}
	// What the inventory itself says, and nothing that was read from the gate.
	out.Gate.Removed = slices.DeleteFunc(out.Gate.Removed, func(r plan.GateRemoved) bool {
		return slices.Contains(left, r.Name)
	})
	return ansible.Plan{
		Return:   map[string]any{"plan": out, "left_out": append([]string{}, left...)},
		Warnings: append(warnings, o.Warnings()...),
	}, nil
}

// leaveOut makes those routers absent that gate_file keeps out, and returns their names.
func (o Options) leaveOut() (out, warnings []string, err error) {
	if o.GateFile == "" {
		return nil, nil, nil
	}
	state, err := gate.Read(o.GateFile)
	if _, missing := os.Stat(o.GateFile); errors.Is(missing, fs.ErrNotExist) && !o.KnownOnly {
		err = nil
	}
	switch {
	case err != nil && o.KnownOnly:
		return nil, nil, fmt.Errorf("known_only: %w", err)
	case err != nil: // mesh_gate writes it anew, from this plan
		warnings = append(warnings, err.Error()+"; who was removed from the mesh is not known from it")
	}
	for name, r := range o.Routers {
		if name == o.Router || r.State == mesh.StateAbsent {
			continue
		}
		removed, found := state.Out(name, mesh.PlainHostKey(r.HostKey))
		if found {
			warnings = append(warnings, fmt.Sprintf("%s is left out: it was removed from the mesh, "+
				"%s. Take it out of the inventory here, or set its mesh_state to absent", name, removed.Why()))
		}
		if found || o.KnownOnly && !state.Knows(name) {
			r.State = mesh.StateAbsent
			o.Routers[name] = r
			out = append(out, name)
		}
	}
	slices.Sort(warnings)
	slices.Sort(out)
	return out, warnings, nil
}

// renumbers refuses a default that would give other addresses to tunnels which the
// router has already.
func (o Options) renumbers(p plan.Plan) error {
	if o.TunnelDirectory == "" {
		return nil
	}
	pool, err := netip.ParsePrefix(o.LinkPool)
	if err != nil {
		return err // Plan has parsed it
	}
	for _, t := range p.Tunnels {
		have := madeAddress(filepath.Join(o.TunnelDirectory, t.Name+".conf"))
		if !have.IsValid() || pool.Contains(have.Addr()) || slices.Contains(t.Addresses, have) {
			continue
		}
		was := "its network"
		if before := netip.MustParsePrefix("172.31.0.0/16"); before.Contains(have.Addr()) { // the default until 0.3.0
			was = before.String()
		}
		return cause.New("%s has %s, mesh_link_pool is not set and its default is %s: "+
			"set it to %s, or to another one to renumber", t.Name, have, pool, was)
	}
	return nil
}

// madeAddress is the IPv4 address in the file of a tunnel that wg_tunnel made, or zero.
func madeAddress(file string) netip.Prefix {
	raw, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(raw), wg.Mark) {
		return netip.Prefix{}
	}
	for line := range strings.Lines(string(raw)) {
		if value, found := strings.CutPrefix(line, "Address = "); found {
			if a, err := netip.ParsePrefix(strings.TrimSpace(value)); err == nil && a.Addr().Is4() {
				return a
			}
		}
	}
	return netip.Prefix{}
}
