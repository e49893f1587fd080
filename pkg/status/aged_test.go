package status_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
)

func TestAgedNotes(t *testing.T) {
	r, o := night()
	healthy := status.Judge(r, o).Healthy()
	o.OtherBuild = []string{plan.JoinProgram, plan.JoinCloud, plan.FailoverProgram}
	o.AnsibleDead, o.ClockFree = true, true
	notes := status.Notes(r, o)
	assert.Equal(t, []string{
		"it joins by itself with another build (/usr/local/bin/wgmesh) than this collection's: " +
			"run wgmesh.router.upgrade",
		"wgmesh-failover is another build (/usr/local/bin/wgmesh-cloud) than this collection's: " +
			"run wgmesh.router.routes",
		"/opt/wgmesh/ansible has lost its Python, so it cannot join by itself: run wgmesh.router.image for this router",
		"nothing keeps its clock right, as the kernel says (STA_UNSYNC): " +
			"look at chronyc tracking, and for rtcsync in chrony.conf",
	}, notes)
	for _, note := range notes {
		assert.LessOrEqual(t, len(note), cause.Most)
	}
	assert.Equal(t, healthy, status.Judge(r, o).Healthy(), "a warning is not red")
	r.ImageWarn = day
	assert.Equal(t, "the image play has not come to its end here (no /etc/wgmesh/image): run wgmesh.router.image",
		status.Notes(r, o)[0])
	r.ImageWarn = 0
	o.OtherBuild = o.OtherBuild[1:]
	assert.Contains(t, status.Notes(r, o)[0], "(/usr/local/libexec/wgmesh-cloud)", "a run was cut off between the two")
}
