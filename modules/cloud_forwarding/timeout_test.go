package cloudforwarding_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/azure"
)

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
