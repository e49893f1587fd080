// Google's and Azure's own clients for routes against our stand-ins. To compile
// them takes minutes; make emul runs it.
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
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/wgmesh/router/internal/fakecloud/azure"
	"github.com/wgmesh/router/internal/fakecloud/gcp"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/test/emul/armclient"
)

func TestGCPByItsOwnClient(t *testing.T) {
	f := gcp.Start(t) // its GCE_METADATA_HOST: the client finds its token by itself
	client := must.Get(compute.NewService(t.Context(), option.WithEndpoint(f.URL+"/compute/v1/")))(t)
	const project = "example.com:mesh"
	wait := func(o *compute.Operation, err error) *compute.Operation {
		t.Helper()
		require.NoError(t, err)
		for o.Status != "DONE" {
			o = must.Get(client.GlobalOperations.Wait(project, o.Name).Do())(t)
		}
		return o
	}
	insert := func(id string) (*compute.Operation, error) {
		return client.Routes.Insert(project, &compute.Route{
			Name: "wgmesh-example-1", Description: "wgmesh.router example", DestRange: "10.0.0.0/16", Priority: 1000,
			Network: gcp.Network, NextHopInstance: gcp.Router,
		}).RequestId(id).Do()
	}
	f.Warning = map[string]any{"code": "NEXT_HOP_CANNOT_IP_FORWARD", "message": "cannot", "data": []any{}}
	assert.Nil(t, wait(insert("00000000-0000-4000-8000-000000000001")).Error)

	byName := map[string]*compute.Route{}
	require.NoError(t, client.Routes.List(project).Pages(t.Context(), func(page *compute.RouteList) error {
		for _, r := range page.Items {
			byName[r.Name] = r
		}
		return nil
	}))
	assert.Len(t, byName, 5)
	made := byName["wgmesh-example-1"]
	require.NotNil(t, made)
	assert.Equal(t, "https://www.googleapis.com/compute/v1/"+gcp.Router, made.NextHopInstance)
	require.Len(t, made.Warnings, 1)
	assert.Equal(t, "NEXT_HOP_CANNOT_IP_FORWARD", made.Warnings[0].Code)

	_, err := insert("00000000-0000-4000-8000-000000000002")
	var refused *googleapi.Error
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, 409, refused.Code)
	assert.Equal(t, "alreadyExists", refused.Errors[0].Reason)

	remove := func(id string) (*compute.Operation, error) {
		return client.Routes.Delete(project, "wgmesh-example-1").RequestId(id).Do()
	}
	f.Fails = "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
	o := wait(remove("00000000-0000-4000-8000-000000000003"))
	assert.Equal(t, f.Fails, o.Error.Errors[0].Code)
	f.Fails = ""
	assert.Nil(t, wait(remove("00000000-0000-4000-8000-000000000004")).Error)
	assert.Empty(t, f.Names("10.0.0.0/16"))
	_, err = remove("00000000-0000-4000-8000-000000000005")
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, 404, refused.Code)
}

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
