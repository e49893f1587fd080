package cloudforwarding_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
)

// A write arrives and its answer gets lost, whole or from the middle on. When asked
// again the cloud shows that it was done. Where it never answers again nobody knows,
// and the module says changed.
func TestLostAnswers(t *testing.T) {
	for name, middle := range map[string]bool{"whole": false, "from the middle on": true} {
		t.Run("aws, "+name, func(t *testing.T) {
			f := newAWS(t)
			f.Lose = fakecloud.Loss{Times: 1, Middle: middle, Reads: true}
			result := run(t, f.router())
			assert.Equal(t, true, result["verified"], "%v", result["msg"])
			assert.Len(t, result["done"], 2)

			f = newAWS(t)
			f.Lose = fakecloud.Loss{Times: 100, Middle: middle, Reads: true}
			msg, changed := fails(t, f.router())
			assert.Contains(t, msg, "eni-0a: ec2:ModifyNetworkInterfaceAttribute: ")
			assert.True(t, changed)
		})
		t.Run("azure, "+name, func(t *testing.T) {
			f := newAzure(t)
			f.lose = loss{1, middle}
			result := run(t, f.router())
			assert.Equal(t, true, result["verified"], "%v", result["msg"])
			assert.Equal(t, []any{nicA + ": enabled forwarding", nicB + ": enabled forwarding"}, result["done"])
			assert.Equal(t, []string{"router-a", "router-b"}, f.writes, "the second time its etag is old, so it is not written twice")

			f = newAzure(t)
			f.lose = loss{100, middle}
			msg, changed := fails(t, f.router())
			assert.Contains(t, msg, nicA+": write the network interface: ")
			assert.True(t, changed)
		})
		t.Run("gcp, "+name, func(t *testing.T) {
			f := newGCP(t)
			f.lose = loss{1, middle}
			result := run(t, f.router())
			assert.Equal(t, true, result["verified"], "%v", result["msg"])
			assert.Equal(t, []string{"true"}, f.writes)

			f = newGCP(t)
			f.lose = loss{100, middle}
			msg, changed := fails(t, f.router())
			assert.Contains(t, msg, "example.com:mesh/europe-west3-a/gcp-1: update the instance: ")
			assert.True(t, changed)
		})
	}
}
