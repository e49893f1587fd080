// Package meshpreview is the module mesh_preview: what becomes of a mesh when its
// inventory changes, and what is left of it when something fails. It computes and
// changes nothing.
//
// It is in wgmesh-cloud, the program that routers have no use for: it runs on the
// controller, and every router would have to keep its 100 kB.
package meshpreview

import (
	"context"
	"encoding/json"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/mesh"
)

// What may be asked of the model.
const (
	faultsOne  = "one"
	faultsTwo  = "two"
	faultsAuto = "auto" // two, as long as the mesh has not too many routers for it
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	Faults    string                     `json:"faults"`
	Against   map[string]json.RawMessage `json:"against"` // another mesh, by the same options
	Show      []string                   `json:"show"`    // routers; empty: all
	Described                            // the other options
}

// Described is a mesh, and what its routers are told besides their plans.
type Described struct {
	Settings map[string]map[string]string `json:"settings"` // by router and name
	mesh.Mesh
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.Faults = faultsAuto
	o.Mesh.SetDefaults()
}

// Validate leaves the mesh to Plan.
func (o Options) Validate() error {
	return ansible.OneOf("faults", o.Faults, faultsOne, faultsTwo, faultsAuto)
}

// Plan computes the preview. There is never anything to apply.
func Plan(_ context.Context, o Options) (ansible.Plan, error) {
	out, err := o.preview()
	if err != nil {
		return ansible.Plan{}, err
	}
	return ansible.Plan{Return: map[string]any{"preview": out}, Warnings: o.Warnings()}, nil
}
