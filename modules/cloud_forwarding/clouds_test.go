package cloudforwarding_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/azure"
	"github.com/wgmesh/router/internal/fakecloud/rig"
	"github.com/wgmesh/router/internal/must"
	cloudforwarding "github.com/wgmesh/router/modules/cloud_forwarding"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"
)

type options = rig.Options

var check = options{"_ansible_check_mode": true} // as Ansible sends it in check mode

var task rig.Task = func(dmi fstest.MapFS) ansible.Module {
	pace := cloud.Pace{First: time.Millisecond, Most: 20 * time.Millisecond}
	p := cloudforwarding.Planner{Pace: pace, DMI: dmi, Allow: fakecloud.Loopback}
	return ansible.New(p.Plan, ansible.Unlocked())
}

// Two mistakes are said in the same order every time.
func TestMistakesInOrder(t *testing.T) {
	first := task.Fails(t, options{"api_endpoint": "x", "metadata_endpoint": "y", "instance_id": "i-1"})
	for range 20 {
		assert.Equal(t,
			first, task.Fails(t, options{"api_endpoint": "x", "metadata_endpoint": "y", "instance_id": "i-1"}))
	}
}

// A write arrives and its answer gets lost, whole or from the middle on. When asked again the cloud
// shows that it was done. Where it never answers again nobody knows, and the module says changed.
func TestLostAnswers(t *testing.T) {
	for name, middle := range map[string]bool{"whole": false, "from the middle on": true} {
		t.Run("aws, "+name, func(t *testing.T) {
			f := newAWS(t)
			f.Lose = fakecloud.Loss{Times: 1, Middle: middle, Reads: true}
			result := task.Run(t, f.router())
			assert.Equal(t, true, result["verified"], "%v", result["msg"])
			assert.Len(t, result["done"], 2)

			f = newAWS(t)
			f.Lose = fakecloud.Loss{Times: 100, Middle: middle, Reads: true}
			assert.Contains(t, task.FailsChanged(t, f.router()), "eni-0a: ec2:ModifyNetworkInterfaceAttribute: ")
		})
		t.Run("azure, "+name, func(t *testing.T) {
			f := newAzure(t)
			f.Lose = fakecloud.Loss{Times: 1, Middle: middle, Reads: true}
			result := task.Run(t, f.router())
			assert.Equal(t, true, result["verified"], "%v", result["msg"])
			assert.Equal(t,
				[]any{azure.NICA + ": enabled forwarding", azure.NICB + ": enabled forwarding"}, result["done"])
			assert.Equal(t, []string{"PUT router-a", "PUT router-b"}, f.Writes,
				"the second time its etag is old, so it is not written twice")

			f = newAzure(t)
			f.Lose = fakecloud.Loss{Times: 100, Middle: middle, Reads: true}
			assert.Contains(t, task.FailsChanged(t, f.router()), azure.NICA+": write the network interface: ")
		})
		t.Run("gcp, "+name, func(t *testing.T) {
			f := newGCP(t)
			f.Lose = fakecloud.Loss{Times: 1, Middle: middle, Reads: true}
			result := task.Run(t, f.router())
			assert.Equal(t, true, result["verified"], "%v", result["msg"])
			assert.Equal(t, []string{"canIpForward true"}, f.Writes)

			f = newGCP(t)
			f.Lose = fakecloud.Loss{Times: 100, Middle: middle, Reads: true}
			assert.Contains(t, task.FailsChanged(t, f.router()),
				"example.com:mesh/europe-west3-a/gcp-1: update the instance: ")
		})
	}
}

// Where somebody takes the connection and never answers, the module ends with
// its timeout and says what it had asked for.
func TestSilence(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connections are made, and wait to be accepted
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	inAWS, inAzure, inGCP := newAWS(t), newAzure(t), newGCP(t)
	inGCP.InKey = map[string]string{"token_uri": "http://" + silent.Addr().String()}
	key := inGCP.control() // whose token nobody makes
	for name, tt := range map[string]struct {
		o             options
		api, metadata string
	}{
		"aws": {
			o:   inAWS.router(),
			api: "i-router in cn-north-1: ec2:DescribeNetworkInterfaces: ", metadata: "metadata instance-id: ",
		},
		"azure": {o: inAzure.router(), api: azure.VM + ": read the VM: ", metadata: "metadata of the instance: "},
		"gcp": {
			o:        inGCP.router(),
			api:      "example.com:mesh/europe-west3-a/gcp-1: read the instance: ",
			metadata: "metadata project/project-id: ",
		},
		"gcp, a key": {o: key, api: "Google credentials: "},
	} {
		for option, begins := range map[string]string{"api_endpoint": tt.api, "metadata_endpoint": tt.metadata} {
			if begins == "" {
				continue
			}
			t.Run(name+" "+option, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				msg := task.FailsUnchanged(t,
					tt.o.And(options{"timeout": 3, option: "http://" + silent.Addr().String()}))
				assert.Regexp(t, "^"+begins, msg)
				assert.Contains(t, msg, "`timeout` was over")
				assert.Less(t, time.Since(began), 2*time.Minute, "the default would have taken 5 minutes")
			})
		}
	}
}

// The tests that the documentation names are there.
func TestTestsOfTheDocumentation(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{
		"../cloud_*/*_test.go", "../../pkg/cloud/*_test.go", "../../pkg/cloud/*/*_test.go",
	} {
		files := must.Get(filepath.Glob(pattern))(t)
		for _, file := range files {
			source.Write(must.Get(os.ReadFile(file))(t))
		}
	}
	page := must.Get(os.ReadFile("../../docs/cloud-forwarding.md"))(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(string(page), -1)
	assert.NotEmpty(t, named)
	for _, each := range named {
		assert.True(t, strings.Contains(source.String(), "\nfunc "+each[1]+"("),
			"docs/cloud-forwarding.md: there is no %s", each[1])
	}
}
