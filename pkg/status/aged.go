package status

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// agedNotes say what a router has run for long and nobody looks at: programs that no run of the
// mesh play brings, an Ansible that an upgrade of the distribution took away, and the clock.
func (o *Observation) agedNotes(r *Request) (notes []string) {
	note := func(c cause.Cause) { notes = append(notes, c.String()) }
	if r.ImageWarn > 0 && !slices.ContainsFunc(o.Made, func(m Made) bool { return m.What == Image }) {
		note(cause.New("the image play has not come to its end here (no %s): run wgmesh.router.image", plan.ImageFile))
	}
	joins := func(program string) bool { return program == plan.JoinProgram || program == plan.JoinCloud }
	if i := slices.IndexFunc(o.OtherBuild, joins); i >= 0 { // they come together
		note(cause.New("it joins by itself with another build (%s) than this collection's: run wgmesh.router.upgrade",
			o.OtherBuild[i]))
	}
	if slices.Contains(o.OtherBuild, plan.FailoverProgram) {
		note(cause.New("wgmesh-failover is another build (%s) than this collection's: run wgmesh.router.routes",
			plan.FailoverProgram))
	}
	if o.AnsibleDead {
		note(cause.New("%s has lost its Python, so it cannot join by itself: run wgmesh.router.image for this router",
			filepath.Dir(plan.AnsibleBin)))
	}
	if o.ClockFree {
		note(cause.New("nothing keeps its clock right, as the kernel says (STA_UNSYNC): " +
			"look at chronyc tracking, and for rtcsync in chrony.conf"))
	}
	for _, play := range slices.Sorted(maps.Keys(o.Unready)) {
		note(cause.New("after the next boot it will not be as it is now (%s): run %s",
			cause.List(o.Unready[play]), play))
	}
	if len(o.Defeated) > 0 {
		note(cause.New("files of others undo the mesh's kernel settings (%s): mend those lines",
			cause.List(o.Defeated)))
	}
	if o.BootErr != nil {
		note(cause.New("what the next boot starts is not known (%s): "+
			"run it again, and look at systemctl is-system-running", o.BootErr))
	}
	if folders := slices.Sorted(maps.Keys(o.Closed)); len(folders) > 0 { // one disk, as a rule
		note(cause.New("no change can be made here, %s: %s: make room and make it writable",
			folders[0], o.Closed[folders[0]]))
	}
	return notes
}
