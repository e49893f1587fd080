// The client of Azure's own that is for every resource, against our stand-in: it
// is compiled in seconds, where the one for the network takes minutes, and takes
// the same paths, etags, errors and operations. What the fields are is the part
// of internal/fakecloud/published. CI runs this, and `make emul` the others too.
package cloudforwarding_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/test/emul/armclient"
)

const version = "2025-05-01"

func TestAzureByItsGenericClient(t *testing.T) {
	f := newAzure(t)
	client, err := armresources.NewClient("00000000-0000-0000-0000-000000000001", armclient.Token{}, armclient.To(f.URL))
	require.NoError(t, err)
	read := func(id, version string) armresources.GenericResource {
		answer, err := client.GetByID(t.Context(), id, version, nil)
		require.NoError(t, err)
		return answer.GenericResource
	}
	write := func(etag string, r armresources.GenericResource) error {
		poller, err := client.BeginCreateOrUpdateByID(policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {etag}}), nicA, version, r, nil)
		if err != nil {
			return err
		}
		_, err = poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
		return err
	}

	assert.Contains(t, read(azureVM, "2024-07-01").Properties, "networkProfile")
	have := read(nicA, version)
	properties := have.Properties.(map[string]any)
	assert.Equal(t, false, properties["enableIPForwarding"])
	properties["enableIPForwarding"] = true

	var refused *azcore.ResponseError
	require.True(t, errors.As(write(`W/"77"`, have), &refused))
	assert.Equal(t, 412, refused.StatusCode)
	assert.Equal(t, "PreconditionFailed", refused.ErrorCode)

	f.polls = 1
	f.fault("PUT "+nicA, 429, "TooManyRequests", "slow down")
	f.fault("GET "+azureOperation, 503, "ServiceUnavailable", "once")
	require.NoError(t, write(f.tag(), have))
	assert.True(t, f.forwarding(nicA))
	assert.Contains(t, f.nics[nicA]["properties"], "futureField", "to this client properties are any")
	assert.NotContains(t, f.nics[nicA], "futureTop", "but the rest it drops, as they all do, which is why ours is none")

	f.polls, f.fails = 0, "InternalServerError"
	require.True(t, errors.As(write(f.tag(), read(nicA, version)), &refused))
	assert.Equal(t, "InternalServerError", refused.ErrorCode)
	_, err = client.GetByID(t.Context(), nicOther+"2", version, nil)
	require.True(t, errors.As(err, &refused))
	assert.Equal(t, "ResourceNotFound", refused.ErrorCode)
}
