package cloudforwarding_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/azure"
)

// A write arrives and its answer gets lost, whole or from the middle on. When asked
// again the cloud shows that it was done. Where it never answers again nobody knows,
// and the module says changed.
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
