// Package meshsteps is the module mesh_steps: it does the work of several others in one
// call, so that they cost one round trip.
package meshsteps

import "github.com/wgmesh/router/pkg/ansible"

// Options are the options of the module, as its documentation has them.
type Options = ansible.Steps

// Module is the module, for those of a table.
func Module(table map[string]ansible.Module) ansible.Module { return ansible.Sequence(table) }
