// Package meshpreview is the module mesh_preview: what becomes of a mesh when its inventory
// changes, and what is left of it when something fails. It computes and changes nothing.
//
// It is in wgmesh-cloud, the program that routers have no use for: it runs on the
// controller, and every router would have to keep its 100 kB.
package meshpreview

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/model"
	"github.com/wgmesh/router/pkg/plan"
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

// mostForTwo is how many routers a mesh may have whose pairs of faults are looked at
// unasked: 22,000 pairs, in a few seconds.
const mostForTwo = 20

// A preview is what a mesh will be, and what becomes of the one that is there.
type preview struct {
	Routers []change     `json:"routers"` // nothing without a mesh to compare with
	Traffic []move       `json:"traffic"`
	Faults  model.Report `json:"faults"`
	Cut     []string     `json:"cut"`     // what one fault cuts, and two beyond that
	Lost    []string     `json:"lost"`    // what the mesh to compare with kept and this one does not
	Removed []string     `json:"removed"` // networks and sites that the inventory has no more
	Lines   []string     `json:"lines"`
	empty   []string     // of Cut, what no fault does
}

func (o Options) preview() (preview, error) {
	after, err := o.Plans()
	if err != nil {
		return preview{}, err
	}
	network := model.New(after)
	two := o.Faults == faultsTwo || o.Faults == faultsAuto && len(after) <= mostForTwo
	out := preview{
		Routers: []change{}, Traffic: []move{}, Lost: []string{}, Removed: []string{},
		Faults: network.Report(two),
	}
	out.empty = o.empty(after)
	out.Cut = slices.Concat(out.empty, says(out.Faults), cuts(out.Faults.Double...))
	if len(o.Against) > 0 {
		was, err := o.against()
		if err != nil {
			return preview{}, fmt.Errorf("against: %w", err)
		}
		before, err := was.Plans()
		if err != nil {
			return preview{}, fmt.Errorf("against: %w", err)
		}
		former := o.rename(before, after)
		old := model.New(before)
		out.Routers = o.changes(was, before, after, former)
		out.Traffic = moves(before, after, old.After(), network.After())
		out.Removed = o.removed(before, out.Traffic)
		gone := o.always(before, after, out.Traffic)
		out.Traffic = slices.DeleteFunc(out.Traffic, func(m move) bool { return !o.shown(m.Router) })
		out.Lost = append(gone, lost(old.Report(two), out.Faults, before)...)
		out.Cut = append(slices.Clone(gone), out.Cut...)
	}
	out.Lines = out.text(len(o.Against) > 0)
	return out, nil
}

// empty is a line for each site that no router is in.
func (o Options) empty(plans []plan.Plan) (out []string) {
	for _, site := range slices.Sorted(maps.Keys(o.Sites)) {
		if !slices.ContainsFunc(plans, func(p plan.Plan) bool { return p.Router.Site == site }) {
			out = append(out, fmt.Sprintf("always: nobody reaches %s, which has no router", site))
		}
	}
	return out
}

func (o Options) against() (d Described, err error) {
	raw, err := json.Marshal(o.Against)
	if err == nil {
		err = ansible.Decode(raw, &d)
	}
	return d, err
}

// rename gives routers and sites of the mesh to compare with the names that they have now: a
// router is known by its name, or else its id. The names before are returned.
func (o Options) rename(before, after []plan.Plan) map[string]string {
	names, former := map[string]string{}, map[string]string{}
	for i, p := range before {
		for _, q := range after {
			if p.Router.ID == q.Router.ID &&
				find(after, p.Router.Name).IsZero() && find(before, q.Router.Name).IsZero() {
				names[p.Router.Name], former[q.Router.Name] = q.Router.Name, p.Router.Name
				before[i].Router.Name = q.Router.Name
			}
		}
	}
	for _, p := range before {
		for k, n := range p.Bird.Neighbors {
			p.Bird.Neighbors[k].Router = cmp.Or(names[n.Router], n.Router)
		}
	}
	sites := o.sites(before)
	for i, p := range before {
		before[i].Router.Site = cmp.Or(sites[p.Router.Site], p.Router.Site)
	}
	return former
}

// sites are the names that sites of the mesh to compare with have now. A site is known by its
// name, or else by a router that it still has, or else by its AS number.
func (o Options) sites(before []plan.Plan) map[string]string {
	now, taken := map[string]string{}, map[string]bool{}
	for _, find := range []func(plan.Plan, string) bool{
		func(p plan.Plan, site string) bool { return p.Router.Site == site },
		func(p plan.Plan, site string) bool { return o.Routers[p.Router.Name].Site == site },
		func(p plan.Plan, site string) bool { return o.Sites[site].AS == p.Bird.AS },
	} {
		for _, p := range before {
			for _, site := range slices.Sorted(maps.Keys(o.Sites)) {
				if now[p.Router.Site] == "" && !taken[site] && find(p, site) {
					now[p.Router.Site], taken[site] = site, true
				}
			}
		}
	}
	return now
}

func (o Options) shown(router string) bool {
	return len(o.Show) == 0 || slices.Contains(o.Show, router)
}

func find(plans []plan.Plan, router string) plan.Plan {
	if i := slices.IndexFunc(plans, func(p plan.Plan) bool { return p.Router.Name == router }); i >= 0 {
		return plans[i]
	}
	return plan.Plan{}
}
