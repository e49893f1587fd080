// Google's own client for Compute Engine against our stand-in. To compile it takes
// a minute; make emul runs it.
package compute_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/wgmesh/router/internal/fakecloud/gcp"
	"github.com/wgmesh/router/internal/must"
)

func TestGCPByItsOwnClient(t *testing.T) {
	f := gcp.Start(t) // its GCE_METADATA_HOST: the client finds its token by itself
	client := must.Get(compute.NewService(t.Context(), option.WithEndpoint(f.URL+"/compute/v1/")))(t)
	const project, zone = "example.com:mesh", "europe-west3-a"
	have := must.Get(client.Instances.Get(project, zone, "gcp-1").Do())(t)
	assert.False(t, have.CanIpForward)
	assert.Equal(t, "fp00", have.Fingerprint)

	update := func(i *compute.Instance, id string) (*compute.Operation, error) {
		o, err := client.Instances.Update(project, zone, "gcp-1",
			i).MostDisruptiveAllowedAction("REFRESH").RequestId(id).Do()
		for err == nil && o.Status != "DONE" {
			o, err = client.ZoneOperations.Wait(project, zone, o.Name).Do()
		}
		return o, err
	}
	stale := *have
	stale.Fingerprint = "b2xk"
	_, err := update(&stale, "00000000-0000-4000-8000-000000000001")
	var refused *googleapi.Error
	require.True(t, errors.As(err, &refused), "%v", err)
	assert.Equal(t, 412, refused.Code)
	assert.Equal(t, "conditionNotMet", refused.Errors[0].Reason)

	have.CanIpForward = true
	o := must.Get(update(have, "00000000-0000-4000-8000-000000000002"))(t)
	assert.Nil(t, o.Error)
	assert.Equal(t, true, f.VM["canIpForward"])
	assert.NotContains(t, f.VM, "futureField", "Google's client drops what it does not know, which is why ours is none")

	f.Fails = "RESOURCE_IN_USE"
	have = must.Get(client.Instances.Get(project, zone, "gcp-1").Do())(t)
	have.CanIpForward = false
	have.ForceSendFields = []string{"CanIpForward"}
	o = must.Get(update(have, "00000000-0000-4000-8000-000000000003"))(t)
	assert.Equal(t, "RESOURCE_IN_USE", o.Error.Errors[0].Code)
	assert.NotZero(t, f.Token)

	f.Permissions = []string{}
	may := must.Get(client.Instances.TestIamPermissions(project, zone, "gcp-1",
		&compute.TestPermissionsRequest{Permissions: []string{"compute.instances.update"}}).Do())(t)
	assert.Empty(t, may.Permissions)
}
