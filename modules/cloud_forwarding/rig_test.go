package cloudforwarding_test

import (
	"testing/fstest"
	"time"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/rig"
	cloudforwarding "github.com/wgmesh/router/modules/cloud_forwarding"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"
)

type options = rig.Options

// Words of the tests.
var (
	check = options{"_ansible_check_mode": true} // as Ansible sends it in check mode
)

var task rig.Task = func(dmi fstest.MapFS) ansible.Module {
	pace := cloud.Pace{First: time.Millisecond, Most: 20 * time.Millisecond}
	p := cloudforwarding.Planner{Pace: pace, DMI: dmi, Allow: fakecloud.Loopback}
	return ansible.New(p.Plan, ansible.Unlocked())
}
