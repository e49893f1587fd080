// The client of Azure's own for the network against our stand-in. To compile it
// takes minutes; make emul runs it.
package network_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/azure"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/test/emul/armclient"
)

func TestAzureByItsOwnClient(t *testing.T) {
	f := azure.Start(t)
	f.Fault("PUT "+azure.NICA, 429, "TooManyRequests", "slow down")
	client := must.Get(armnetwork.NewInterfacesClient("00000000-0000-0000-0000-000000000001",
		armclient.Token{}, armclient.To(f.URL)))(t)
	name := filepath.Base(azure.NICA)
	have := must.Get(client.Get(t.Context(), "mesh", name, nil))(t)
	assert.False(t, *have.Properties.EnableIPForwarding)
	assert.Equal(t, armnetwork.ProvisioningStateSucceeded, *have.Properties.ProvisioningState)

	*have.Properties.EnableIPForwarding = true
	stale := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {"W/\"77\""}})
	_, err := client.BeginCreateOrUpdate(stale, "mesh", name, have.Interface, nil)
	var refused *azcore.ResponseError
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, 412, refused.StatusCode)
	assert.Equal(t, "PreconditionFailed", refused.ErrorCode)

	f.Polls = 1
	matching := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {*have.Etag}})
	poller := must.Get(client.BeginCreateOrUpdate(matching, "mesh", name, have.Interface, nil))(t)
	done := must.Get(poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second}))(t)
	assert.True(t, *done.Properties.EnableIPForwarding)
	assert.NotContains(t, azure.Properties(f.NICs[azure.NICA]), "futureField",
		"Azure's client drops what it does not know, which is why ours is none")

	f.Polls, f.Fails = 0, "InternalServerError"
	have = must.Get(client.Get(t.Context(), "mesh", name, nil))(t)
	poller, err = client.BeginCreateOrUpdate(policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {*have.Etag}}),
		"mesh", name, have.Interface, nil)
	require.NoError(t, err)
	_, err = poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, "InternalServerError", refused.ErrorCode)
}
