package cloudroutes_test

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/rig"
	cloudroutes "github.com/wgmesh/router/modules/cloud_routes"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"
)

type options = rig.Options

// Words of the tests.
var (
	check  = options{"_ansible_check_mode": true} // as Ansible sends it in check mode
	absent = options{"state": "absent"}
)

var task rig.Task = func(dmi fstest.MapFS) ansible.Module {
	pace := cloud.Pace{First: time.Millisecond, Most: 20 * time.Millisecond}
	p := cloudroutes.Planner{Pace: pace, DMI: dmi, Allow: fakecloud.Loopback}
	return ansible.New(p.Plan, ansible.Unlocked())
}

// A write arrives and its answer gets lost. When asked again the cloud shows that
// it was done, and the module says that it has changed something. It says so too
// where no write is ever answered.
func TestLostAnswers(t *testing.T) {
	type cloud struct {
		o    options
		lose *int
	}
	for name, make := range map[string]func(t *testing.T) cloud{
		"aws": func(t *testing.T) cloud { f := newAWS(t); return cloud{f.one(), &f.Lose.Times} },
		"azure": func(t *testing.T) cloud {
			f := newAzure(t)
			return cloud{f.router(), &f.Lose.Times}
		},
		"gcp": func(t *testing.T) cloud { f := newGCP(t); return cloud{f.router(), &f.Lose.Times} },
	} {
		t.Run(name, func(t *testing.T) {
			c := make(t)
			for _, state := range []string{"present", "absent"} {
				*c.lose = 1
				result := task.Succeeds(t, c.o.And(options{"state": state}))
				assert.Equal(t, true, result["verified"])
				assert.Len(t, result["done"], 1)
				task.Unchanged(t, c.o.And(options{"state": state}))
			}
			c = make(t)
			*c.lose = 100
			result := task.Run(t, c.o)
			assert.Equal(t, true, result["changed"], "%v", result)
		})
	}
}
