package routes_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/azure"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/test/emul/armclient"
)

func TestAzureByItsOwnClient(t *testing.T) {
	f := azure.Start(t)
	const subscription = "00000000-0000-0000-0000-000000000001"
	tables := must.Get(armnetwork.NewRouteTablesClient(subscription, armclient.Token{}, armclient.To(f.URL)))(t)
	client := must.Get(armnetwork.NewRoutesClient(subscription, armclient.Token{}, armclient.To(f.URL)))(t)
	assert.Len(t, must.Get(tables.Get(t.Context(), "mesh", "nodes", nil))(t).Properties.Routes, 4)

	name, often := filepath.Base(azure.Ours), &runtime.PollUntilDoneOptions{Frequency: time.Second}
	want := armnetwork.Route{Properties: &armnetwork.RoutePropertiesFormat{
		AddressPrefix: to.Ptr("10.0.0.0/16"),
		NextHopType:   to.Ptr(armnetwork.RouteNextHopTypeVirtualAppliance), NextHopIPAddress: to.Ptr("10.1.0.4"),
	}}
	f.Polls = 1
	f.Fault("PUT "+azure.Ours, 429, "TooManyRequests", "slow down")
	made := must.Get(client.BeginCreateOrUpdate(t.Context(), "mesh", "nodes", name, want, nil))(t)
	must.Get(made.PollUntilDone(t.Context(), often))(t)
	have := must.Get(client.Get(t.Context(), "mesh", "nodes", name, nil))(t)
	assert.Equal(t, "10.1.0.4", *have.Properties.NextHopIPAddress)
	assert.Equal(t, armnetwork.ProvisioningStateSucceeded, *have.Properties.ProvisioningState)

	stale := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {`W/"77"`}})
	_, err := client.BeginCreateOrUpdate(stale, "mesh", "nodes", name, have.Route, nil)
	var refused *azcore.ResponseError
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, 412, refused.StatusCode)

	matching := policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {*have.Etag}})
	f.Fails = "InternalServerError"
	gone := must.Get(client.BeginDelete(matching, "mesh", "nodes", name, nil))(t)
	_, err = gone.PollUntilDone(t.Context(), often)
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, "InternalServerError", refused.ErrorCode)
	f.Fails = ""
	have = must.Get(client.Get(t.Context(), "mesh", "nodes", name, nil))(t, "what failed is taken back")

	matching = policy.WithHTTPHeader(t.Context(), http.Header{"If-Match": {*have.Etag}})
	gone = must.Get(client.BeginDelete(matching, "mesh", "nodes", name, nil))(t)
	must.Get(gone.PollUntilDone(t.Context(), often))(t)
	assert.Len(t, f.Routes, 4, "the others are left")
}
