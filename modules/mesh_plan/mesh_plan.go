// Package meshplan is the module mesh_plan: the whole mesh in, one router's
// part of it out. It computes and touches nothing.
package meshplan

import (
	"context"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/mesh"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	Router    string `json:"router"` // whose plan is wanted
	mesh.Mesh        // brings SetDefaults and the other options
}

// Validate leaves everything to Plan, so that an unknown router is listed
// together with all other problems of the mesh.
func (Options) Validate() error { return nil }

// Plan computes what the other modules have to make on the router. There is
// never anything to apply.
func Plan(_ context.Context, o Options) (ansible.Plan, error) {
	plan, err := o.Mesh.Plan(o.Router)
	if err != nil {
		return ansible.Plan{}, err
	}
	return ansible.Plan{Return: map[string]any{"plan": plan}}, nil
}
