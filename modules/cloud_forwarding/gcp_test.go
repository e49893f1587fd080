package cloudforwarding_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/gcp"
)

// fakeGCP is the stand-in with the options that lead to it.
type fakeGCP struct{ *gcp.Cloud }

func newGCP(t *testing.T) *fakeGCP { return &fakeGCP{gcp.Start(t)} }

const (
	gcpInstance = gcp.API + gcp.Router
	gcpWait     = gcp.API + gcp.Zone + "/operations/operation-1/wait"
)

// router are the options on the router itself.
func (f *fakeGCP) router() options {
	return options{"cloud": "gcp", "api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20}
}

// control are the options on a control node with the key of a service account.
func (f *fakeGCP) control() options {
	f.Login()
	return options{
		"project": "example.com:mesh", "zone": "europe-west3-a", "name": "gcp-1",
		"api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20,
	}
}

func TestGCPOnTheRouter(t *testing.T) {
	f := newGCP(t)
	want := maps.Clone(f.VM)
	want["canIpForward"] = true

	result := task.Succeeds(t, f.router())
	assert.Equal(t, true, result["changed"])
	assert.Equal(t, true, result["verified"])
	assert.Equal(t, "example.com:mesh/europe-west3-a/gcp-1", result["instance"])
	assert.Equal(t, []any{"gcp-1: enabled forwarding"}, result["done"])
	assert.Equal(t, want, f.VM, "every other field survives, also those that we do not know")

	task.Unchanged(t, f.router())

	assert.Equal(t, true, task.Run(t, f.router().And(options{"state": "disabled"}))["verified"])
	assert.Equal(t, []string{"canIpForward true", "canIpForward false"}, f.Writes)
}

func TestGCPFromTheControlNode(t *testing.T) {
	f := newGCP(t)
	result := task.Succeeds(t, f.control())
	assert.Equal(t, "gcp", result["cloud"])
	assert.Equal(t, []string{"canIpForward true"}, f.Writes)
	assert.Zero(t, f.Token, "the service account of the machine it runs on was not asked for")
}

func TestGCPCheckMode(t *testing.T) {
	f := newGCP(t)
	result := task.Run(t, f.router().And(check))
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.NotContains(t, result, "warnings")

	f.Permissions = nil
	result = task.Run(t, f.router().And(check))
	assert.Equal(t,
		[]any{"example.com:mesh/europe-west3-a/gcp-1: the permission compute.instances.update is missing: " +
			"allow it in a role of the account"}, result["warnings"])
	f.Scopes = "https://www.googleapis.com/auth/compute.readonly"
	assert.Contains(t, task.Run(t, f.router().And(check))["warnings"].([]any)[0],
		"access scopes do not let it change instances")
	assert.Empty(t, f.Writes)
}

// Somebody writes between our read and our write: their change is kept.
func TestGCPLostRace(t *testing.T) {
	f := newGCP(t)
	reads := 0
	f.OnRead = func() {
		if reads++; reads == 2 { // the one before our write
			f.VM["labels"] = map[string]any{"theirs": "kept"}
			f.Fingerprint++
		}
	}
	require.Equal(t, true, task.Run(t, f.router())["verified"])
	assert.Equal(t, map[string]any{"theirs": "kept"}, f.VM["labels"])

	f = newGCP(t)
	f.OnRead = func() { f.Fingerprint++ }
	assert.Contains(t, task.FailsUnchanged(t, f.router()),
		"conditionNotMet: Supplied fingerprint does not match current metadata fingerprint (request req-gcp); "+
			"lost against another writer 8 times")
}

func TestGCPThrottling(t *testing.T) {
	f := newGCP(t)
	for range 10 {
		f.Fault("GET "+gcpInstance, 403, "rateLimitExceeded", "Rate Limit Exceeded")
		f.Fault("PUT "+gcpInstance, 429, "rateLimitExceeded", "Rate Limit Exceeded")
	}
	assert.Equal(t, true, task.Run(t, f.router())["verified"])

	f = newGCP(t)
	f.Fault("GET "+gcpInstance, 429, "rateLimitExceeded", "Rate Limit Exceeded", "Retry-After", "60")
	assert.Equal(t,
		"example.com:mesh/europe-west3-a/gcp-1: read the instance: rateLimitExceeded: "+
			"Rate Limit Exceeded (request req-gcp); still so when `timeout` was over",
		task.Fails(t, f.router().And(options{"timeout": 3})))
}

func TestGCPExpiredToken(t *testing.T) {
	f := newGCP(t)
	f.Valid = 2
	assert.Equal(t, true, task.Run(t, f.router())["verified"])
	f.Valid = f.Token + 100
	assert.Contains(t, task.Fails(t, f.router()),
		"authError: Invalid Credentials (request req-gcp); Google does not accept the token")
}

func TestGCPMissingPermission(t *testing.T) {
	t.Run("to write", func(t *testing.T) {
		f := newGCP(t)
		f.Fault("PUT "+gcpInstance, 403, "forbidden",
			"Required 'compute.instances.update' permission for 'projects/mesh/zones/europe-west3-a/instances/gcp-1'")
		assert.Contains(t, task.FailsUnchanged(t, f.router()),
			"(request req-gcp); the permission compute.instances.update is missing")
	})
	t.Run("scopes", func(t *testing.T) {
		f := newGCP(t)
		f.Scopes = "https://www.googleapis.com/auth/compute.readonly\nhttps://www.googleapis.com/auth/logging.write\n"
		assert.Contains(t, task.Fails(t, f.router()),
			"it needs https://www.googleapis.com/auth/compute or https://www.googleapis.com/auth/cloud-platform, "+
				"which it can get only while it is stopped")
		assert.Empty(t, f.Writes)
		f.Scopes = ""
		assert.Contains(t, task.Fails(t, f.router()), "the instance has no service account to act with")
	})
	t.Run("policy", func(t *testing.T) {
		f := newGCP(t)
		f.Fault("PUT "+gcpInstance, 412, "forbidden",
			"Constraint constraints/compute.vmCanIpForward violated for projects/mesh.")
		assert.Contains(t, task.Fails(t, f.router()), "the organization's policy compute.vmCanIpForward forbids it")
	})
}

// While an operation is waited for, Google may be busy and the token may expire.
func TestGCPTroubleWhileItWaits(t *testing.T) {
	f := newGCP(t)
	for range 6 {
		f.Fault("POST "+gcpWait, 403, "userRateLimitExceeded", "slow down")
	}
	f.Fault("POST "+gcpWait, 503, "backendError", "once")
	f.OnWait = func() { f.Valid, f.OnWait = f.Token+1, nil }
	assert.Equal(t, true, task.Run(t, f.router())["verified"])

	f = newGCP(t)
	f.Waits = 1 << 30
	assert.Equal(t,
		"example.com:mesh/europe-west3-a/gcp-1: update the instance: the operation operation-1 is RUNNING; "+
			"still so when `timeout` was over",
		task.FailsChanged(t, f.router().And(options{"timeout": 3})))
}

func TestGCPBusyMetadata(t *testing.T) {
	f := newGCP(t)
	for _, name := range []string{
		"instance/zone", "universe/universe-domain", "instance/service-accounts/default/token",
	} {
		f.Fault("GET /computeMetadata/v1/"+name, 429, "", "")
		f.Fault("GET /computeMetadata/v1/"+name, 503, "", "")
	}
	assert.Equal(t, true, task.Run(t, f.router())["verified"])
}

// A sovereign cloud has its own domain, which the metadata service or the key of
// a service account names.
func TestGCPUniverse(t *testing.T) {
	f := newGCP(t)
	f.Universe = "s3nsapis.fr"
	assert.Contains(t, task.Fails(t, f.router().And(options{"api_endpoint": ""})),
		"compute.s3nsapis.fr: a test reaches loopback only")
	assert.Contains(t, task.Fails(t, f.control().And(options{"api_endpoint": ""})),
		"compute.googleapis.com: a test reaches loopback only")
	f.InKey = map[string]string{"universe_domain": "s3nsapis.fr"}
	assert.Contains(t, task.Fails(t, f.control().And(options{"api_endpoint": ""})),
		"compute.s3nsapis.fr: a test reaches loopback only")
}

// A token that expires between the plan and the change is replaced, of the key of
// a service account and of somebody who has logged in.
func TestGCPShortToken(t *testing.T) {
	for kind, more := range map[string]map[string]string{
		"a key":    nil,
		"a person": {"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "r"},
	} {
		t.Run(kind, func(t *testing.T) {
			f := newGCP(t)
			f.Short, f.InKey = true, more
			assert.Equal(t, true, task.Succeeds(t, f.control())["verified"])
		})
	}
}

func TestGCPFailsLate(t *testing.T) {
	f := newGCP(t)
	f.Fails = "CONDITION_NOT_MET"      // a race that only the operation loses
	f.OnWait = func() { f.Fails = "" } // the next one
	assert.Equal(t, true, task.Run(t, f.router())["verified"])

	for _, code := range []string{"RESOURCE_NOT_READY", "RATE_LIMIT_EXCEEDED"} { // and not at once
		f = newGCP(t)
		f.Fails = code
		f.OnWait = func() { f.Fails = "" }
		assert.Equal(t, true, task.Run(t, f.router())["verified"], code)
		assert.Len(t, f.Writes, 2, code)
	}

	f = newGCP(t)
	f.Fails = "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
	assert.Regexp(t,
		`^example.com:mesh/europe-west3-a/gcp-1: update the instance: RESOURCE_IN_USE_BY_ANOTHER_RESOURCE: `+
			`It went wrong \(request [0-9a-f-]{36}\)$`,
		task.FailsChanged(t, f.router()))
}

func TestGCPVanishes(t *testing.T) {
	f := newGCP(t)
	f.OnWait = func() { f.VM = nil }
	assert.Contains(t, task.FailsChanged(t, f.router()), "and that it was not deleted")
	assert.Contains(t, task.Fails(t, f.router()),
		"notFound: The resource '"+gcp.Router+"' was not found (request req-gcp); check ")
}

// Where another field has drifted so that an update would restart the VM, nothing happens.
func TestGCPNeverRestarts(t *testing.T) {
	f := newGCP(t)
	f.Restart = true
	assert.Contains(t, task.Fails(t, f.router()), "requires RESTART")
	assert.Empty(t, f.Writes)
}

func TestGCPRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		o   options
		msg string
	}{
		"interfaces": {
			options{"interfaces": []string{"nic1"}},
			"interfaces: on GCP forwarding is a property of the whole instance",
		},
		"half an id":   {options{"name": "gcp-1"}, "project, zone, name: all three of them or none"},
		"another's id": {options{"resource_id": "/x"}, "resource_id: goes with cloud: azure"},
		"a strange name": {
			options{"project": "p", "zone": "z", "name": "../x"},
			`name: expected a name as Google Cloud has them, got "../x"`,
		},
		"the real API": {options{"api_endpoint": ""}, "compute.googleapis.com: a test reaches loopback only"},
		"no override":  {options{"metadata_endpoint": ""}, "metadata.google.internal: a test reaches loopback only"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newGCP(t)
			f.control() // its credentials, where a name is given
			assert.Contains(t, task.Fails(t, f.router().And(tt.o)), tt.msg)
			assert.Empty(t, f.Writes)
		})
	}
}
