// The vendors' own clients against our stand-ins for their clouds. A stand-in
// that only our own client can speak to proves little; what Azure's and Google's
// clients take for their cloud is at least what they expect of it.
//
// It is a module of its own, so that these clients, which take minutes to
// compile, are in no program that we ship. The stand-ins are links to those of
// modules/cloud_forwarding. .ci/emul runs it.
package cloudforwarding_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

type options map[string]any

// plain takes the TLS away on which Azure's client insists, also for the address
// of an operation.
type plain struct{}

func (plain) Do(r *http.Request) (*http.Response, error) {
	bare := r.Clone(r.Context())
	bare.URL.Scheme = "http"
	answer, err := http.DefaultClient.Do(bare)
	if err != nil {
		return nil, err
	}
	answer.Request = r
	const operation = "Azure-AsyncOperation"
	if url, found := strings.CutPrefix(answer.Header.Get(operation), "http:"); found {
		answer.Header.Set(operation, "https:"+url)
	}
	return answer, nil
}

type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token-99", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestAzureByItsOwnClient(t *testing.T) {
	f := newAzure(t)
	f.faults["PUT "+nicA] = append(f.faults["PUT "+nicA], func(w http.ResponseWriter) { refuse(w, 429, "TooManyRequests", "slow down") })
	client, err := armnetwork.NewInterfacesClient("00000000-0000-0000-0000-000000000001", token{}, &arm.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: plain{}, Retry: policy.RetryOptions{RetryDelay: time.Millisecond},
		Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: "https://login.invalid", Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Audience: "x", Endpoint: "https" + f.URL[len("http"):]},
		}},
	}})
	require.NoError(t, err)
	name := filepath.Base(nicA)
	have, err := client.Get(t.Context(), "mesh", name, nil)
	require.NoError(t, err)
	assert.False(t, *have.Properties.EnableIPForwarding)
	assert.Equal(t, armnetwork.ProvisioningStateSucceeded, *have.Properties.ProvisioningState)

	*have.Properties.EnableIPForwarding = true
	stale := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {"W/\"77\""}})
	_, err = client.BeginCreateOrUpdate(stale, "mesh", name, have.Interface, nil)
	var refused *azcore.ResponseError
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, 412, refused.StatusCode)
	assert.Equal(t, "PreconditionFailed", refused.ErrorCode)

	f.polls = 1
	matching := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {*have.Etag}})
	poller, err := client.BeginCreateOrUpdate(matching, "mesh", name, have.Interface, nil)
	require.NoError(t, err)
	done, err := poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
	require.NoError(t, err)
	assert.True(t, *done.Properties.EnableIPForwarding)
	assert.NotContains(t, f.nics[nicA]["properties"], "futureField", "Azure's client drops what it does not know, which is why ours is none")

	f.polls, f.fails = 0, "InternalServerError"
	have, err = client.Get(t.Context(), "mesh", name, nil)
	require.NoError(t, err)
	poller, err = client.BeginCreateOrUpdate(policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {*have.Etag}}), "mesh", name, have.Interface, nil)
	require.NoError(t, err)
	_, err = poller.PollUntilDone(t.Context(), &runtime.PollUntilDoneOptions{Frequency: time.Second})
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, "InternalServerError", refused.ErrorCode)
}

func TestGCPByItsOwnClient(t *testing.T) {
	f := newGCP(t) // its GCE_METADATA_HOST: the client finds its token by itself
	client, err := compute.NewService(t.Context(), option.WithEndpoint(f.URL+"/compute/v1/"))
	require.NoError(t, err)
	const project, zone = "example.com:mesh", "europe-west3-a"
	have, err := client.Instances.Get(project, zone, "gcp-1").Do()
	require.NoError(t, err)
	assert.False(t, have.CanIpForward)
	assert.Equal(t, "fp00", have.Fingerprint)

	update := func(i *compute.Instance) (*compute.Operation, error) {
		return client.Instances.Update(project, zone, "gcp-1", i).MostDisruptiveAllowedAction("REFRESH").RequestId("00000000-0000-4000-8000-000000000001").Do()
	}
	stale := *have
	stale.Fingerprint = "b2xk"
	_, err = update(&stale)
	var refused *googleapi.Error
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, 412, refused.Code)
	assert.Equal(t, "conditionNotMet", refused.Errors[0].Reason)

	have.CanIpForward = true
	o, err := update(have)
	require.NoError(t, err)
	for o.Status != "DONE" {
		o, err = client.ZoneOperations.Wait(project, zone, o.Name).Do()
		require.NoError(t, err)
	}
	assert.Nil(t, o.Error)
	assert.Equal(t, true, f.vm["canIpForward"])
	assert.NotContains(t, f.vm, "futureField", "Google's client drops what it does not know, which is why ours is none")

	f.fails = "RESOURCE_IN_USE"
	have, err = client.Instances.Get(project, zone, "gcp-1").Do()
	require.NoError(t, err)
	have.CanIpForward = false
	have.ForceSendFields = []string{"CanIpForward"}
	o, err = update(have)
	require.NoError(t, err)
	assert.Equal(t, "RESOURCE_IN_USE", o.Error.Errors[0].Code)
	assert.NotZero(t, f.token)

	f.permissions = []string{}
	may, err := client.Instances.TestIamPermissions(project, zone, "gcp-1", &compute.TestPermissionsRequest{Permissions: []string{"compute.instances.update"}}).Do()
	require.NoError(t, err)
	assert.Empty(t, may.Permissions)
}
