// The client of Azure's own that is for every resource, against our stand-in: it
// is compiled in seconds, where the one for the network takes minutes, and takes
// the same paths, etags, errors and operations. What the fields are is the part
// of internal/fakecloud/published. CI runs this, and `make emul` the others too.
package arm_test

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

	"github.com/wgmesh/router/internal/fakecloud/azure"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/test/emul/armclient"
)

const version = "2025-05-01"

func TestAzureByItsGenericClient(t *testing.T) {
	f := azure.Start(t)
	client := must.Get(armresources.NewClient("00000000-0000-0000-0000-000000000001", armclient.Token{},
		armclient.To(f.URL)))(t)
	read := func(id, version string) armresources.GenericResource {
		return must.Get(client.GetByID(t.Context(), id, version, nil))(t).GenericResource
	}
	write := func(etag string, r armresources.GenericResource) error {
		poller, err := client.BeginCreateOrUpdateByID(
			policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {etag}}), azure.NICA, version, r, nil)
		if err != nil {
			return err
		}
		_, err = poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
		return err
	}

	assert.Contains(t, read(azure.VM, "2024-07-01").Properties, "networkProfile")
	have := read(azure.NICA, version)
	properties := have.Properties.(map[string]any)
	assert.Equal(t, false, properties["enableIPForwarding"])
	properties["enableIPForwarding"] = true

	var refused *azcore.ResponseError
	require.True(t, errors.As(write(`W/"77"`, have), &refused))
	assert.Equal(t, 412, refused.StatusCode)
	assert.Equal(t, "PreconditionFailed", refused.ErrorCode)

	f.Polls = 1
	f.Fault("PUT "+azure.NICA, 429, "TooManyRequests", "slow down")
	f.Fault("GET "+azure.Operation, 503, "ServiceUnavailable", "once")
	require.NoError(t, write(f.Tag(), have))
	assert.True(t, f.Forwarding(azure.NICA))
	assert.Contains(t, azure.Properties(f.NICs[azure.NICA]), "futureField", "to this client properties are any")
	assert.NotContains(t, f.NICs[azure.NICA], "futureTop",
		"but the rest it drops, as they all do, which is why ours is none")

	f.Polls, f.Fails = 0, "InternalServerError"
	require.True(t, errors.As(write(f.Tag(), read(azure.NICA, version)), &refused))
	assert.Equal(t, "InternalServerError", refused.ErrorCode)
	_, err := client.GetByID(t.Context(), azure.NICOther+"2", version, nil)
	require.True(t, errors.As(err, &refused))
	assert.Equal(t, "ResourceNotFound", refused.ErrorCode)
}
