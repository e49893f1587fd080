package cloudforwarding_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGCPOnTheRouter(t *testing.T) {
	f := newGCP(t)
	want := maps.Clone(f.vm)
	want["canIpForward"] = true

	result := run(t, f.router())
	require.NotContains(t, result, "failed", "%v", result["msg"])
	assert.Equal(t, true, result["changed"])
	assert.Equal(t, true, result["verified"])
	assert.Equal(t, "example.com:mesh/europe-west3-a/gcp-1", result["instance"])
	assert.Equal(t, []any{"gcp-1: enabled forwarding"}, result["done"])
	assert.Equal(t, want, f.vm, "every other field survives, also those that we do not know")

	result = run(t, f.router())
	assert.Equal(t, false, result["changed"])
	assert.Equal(t, true, result["verified"])

	assert.Equal(t, true, run(t, f.router().and(options{"state": "disabled"}))["verified"])
	assert.Equal(t, []string{"true", "false"}, f.writes)
}

func TestGCPFromTheControlNode(t *testing.T) {
	f := newGCP(t)
	result := run(t, f.control(t))
	require.NotContains(t, result, "failed", "%v", result["msg"])
	assert.Equal(t, "gcp", result["cloud"])
	assert.Equal(t, []string{"true"}, f.writes)
	assert.Zero(t, f.token, "the service account of the machine it runs on was not asked for")
}

func TestGCPCheckMode(t *testing.T) {
	f := newGCP(t)
	result := run(t, f.router().and(check))
	assert.Equal(t, true, result["changed"])
	assert.Equal(t, false, result["verified"])
	assert.NotContains(t, result, "warnings")

	f.permissions = nil
	result = run(t, f.router().and(check))
	assert.Equal(t, []any{"example.com:mesh/europe-west3-a/gcp-1: the permission compute.instances.update is missing: allow it in a role of the account"}, result["warnings"])
	f.scopes = "https://www.googleapis.com/auth/compute.readonly"
	assert.Contains(t, run(t, f.router().and(check))["warnings"].([]any)[0], "access scopes do not let it change instances")
	assert.Empty(t, f.writes)
}

// Somebody writes between our read and our write: their change is kept.
func TestGCPLostRace(t *testing.T) {
	f := newGCP(t)
	reads := 0
	f.served = func() {
		if reads++; reads == 2 { // the one before our write
			f.vm["labels"] = map[string]any{"theirs": "kept"}
			f.fingerprint++
		}
	}
	require.Equal(t, true, run(t, f.router())["verified"])
	assert.Equal(t, map[string]any{"theirs": "kept"}, f.vm["labels"])

	f = newGCP(t)
	f.served = func() { f.fingerprint++ }
	msg, changed := fails(t, f.router())
	assert.Contains(t, msg, "conditionNotMet: Supplied fingerprint does not match current metadata fingerprint (request req-gcp); lost against another writer 8 times")
	assert.False(t, changed)
}

func TestGCPThrottling(t *testing.T) {
	f := newGCP(t)
	for range 10 {
		f.fault("GET "+gcpInstance, 403, "rateLimitExceeded", "Rate Limit Exceeded")
		f.fault("PUT "+gcpInstance, 429, "rateLimitExceeded", "Rate Limit Exceeded")
	}
	assert.Equal(t, true, run(t, f.router())["verified"])

	f = newGCP(t)
	f.fault("GET "+gcpInstance, 429, "rateLimitExceeded", "Rate Limit Exceeded", "Retry-After", "60")
	msg, _ := fails(t, f.router().and(options{"timeout": 1}))
	assert.Equal(t, "example.com:mesh/europe-west3-a/gcp-1: read the instance: rateLimitExceeded: Rate Limit Exceeded (request req-gcp); still so when `timeout` was over", msg)
}

func TestGCPExpiredToken(t *testing.T) {
	f := newGCP(t)
	f.valid = 2
	assert.Equal(t, true, run(t, f.router())["verified"])
	f.valid = f.token + 100
	msg, _ := fails(t, f.router())
	assert.Contains(t, msg, "authError: Invalid Credentials (request req-gcp); Google does not accept the token")
}

func TestGCPMissingPermission(t *testing.T) {
	t.Run("to write", func(t *testing.T) {
		f := newGCP(t)
		f.fault("PUT "+gcpInstance, 403, "forbidden", "Required 'compute.instances.update' permission for 'projects/mesh/zones/europe-west3-a/instances/gcp-1'")
		msg, changed := fails(t, f.router())
		assert.Contains(t, msg, "(request req-gcp); the permission compute.instances.update is missing")
		assert.False(t, changed)
	})
	t.Run("scopes", func(t *testing.T) {
		f := newGCP(t)
		f.scopes = "https://www.googleapis.com/auth/compute.readonly\nhttps://www.googleapis.com/auth/logging.write\n"
		msg, _ := fails(t, f.router())
		assert.Contains(t, msg, "it needs https://www.googleapis.com/auth/compute or https://www.googleapis.com/auth/cloud-platform, which it can get only while it is stopped")
		assert.Empty(t, f.writes)
		f.scopes = ""
		msg, _ = fails(t, f.router())
		assert.Contains(t, msg, "the instance has no service account to act with")
	})
	t.Run("policy", func(t *testing.T) {
		f := newGCP(t)
		f.fault("PUT "+gcpInstance, 412, "forbidden", "Constraint constraints/compute.vmCanIpForward violated for projects/mesh.")
		msg, _ := fails(t, f.router())
		assert.Contains(t, msg, "the organization's policy compute.vmCanIpForward forbids it")
	})
}

// While an operation is waited for, Google may be busy and the token may expire.
func TestGCPTroubleWhileItWaits(t *testing.T) {
	f := newGCP(t)
	for range 6 {
		f.fault("POST "+gcpWait, 403, "userRateLimitExceeded", "slow down")
	}
	f.fault("POST "+gcpWait, 503, "backendError", "once")
	f.onWait = func() { f.valid, f.onWait = f.token+1, nil }
	assert.Equal(t, true, run(t, f.router())["verified"])

	f = newGCP(t)
	f.waits = 1 << 30
	msg, changed := fails(t, f.router().and(options{"timeout": 1}))
	assert.Equal(t, "example.com:mesh/europe-west3-a/gcp-1: update the instance: the operation operation-1 is RUNNING; still so when `timeout` was over", msg)
	assert.True(t, changed)
}

func TestGCPBusyMetadata(t *testing.T) {
	f := newGCP(t)
	for _, name := range []string{"instance/zone", "universe/universe-domain", "instance/service-accounts/default/token"} {
		f.fault("GET /computeMetadata/v1/"+name, 429, "", "")
		f.fault("GET /computeMetadata/v1/"+name, 503, "", "")
	}
	assert.Equal(t, true, run(t, f.router())["verified"])
}

// A sovereign cloud has its own domain, which the metadata service or the key of
// a service account names.
func TestGCPUniverse(t *testing.T) {
	f := newGCP(t)
	f.universe = "s3nsapis.fr"
	msg, _ := fails(t, f.router().and(options{"api_endpoint": ""}))
	assert.Contains(t, msg, "compute.s3nsapis.fr: a test reaches loopback only")
	msg, _ = fails(t, f.control(t).and(options{"api_endpoint": ""}))
	assert.Contains(t, msg, "compute.googleapis.com: a test reaches loopback only")
	f.inKey = map[string]string{"universe_domain": "s3nsapis.fr"}
	msg, _ = fails(t, f.control(t).and(options{"api_endpoint": ""}))
	assert.Contains(t, msg, "compute.s3nsapis.fr: a test reaches loopback only")
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
			f.short, f.inKey = true, more
			result := run(t, f.control(t))
			assert.Equal(t, true, result["verified"], "%v", result["msg"])
		})
	}
}

func TestGCPFailsLate(t *testing.T) {
	f := newGCP(t)
	f.fails = "CONDITION_NOT_MET" // a race that only the operation loses
	f.onWait = func() { f.onWait = func() { f.fails = "" } }
	assert.Equal(t, true, run(t, f.router())["verified"])

	f = newGCP(t)
	f.fails = "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
	msg, changed := fails(t, f.router())
	assert.Regexp(t, `^example.com:mesh/europe-west3-a/gcp-1: update the instance: RESOURCE_IN_USE_BY_ANOTHER_RESOURCE: It went wrong \(request [0-9a-f-]{36}\)$`, msg)
	assert.True(t, changed)
}

func TestGCPVanishes(t *testing.T) {
	f := newGCP(t)
	f.onWait = func() { f.vm = nil }
	msg, changed := fails(t, f.router())
	assert.Contains(t, msg, "it is gone")
	assert.True(t, changed)
	msg, _ = fails(t, f.router())
	assert.Contains(t, msg, "notFound: The resource '"+gcpInstance+"' was not found (request req-gcp); it is gone")
}

// Where another field has drifted so that an update would restart the VM,
// nothing happens.
func TestGCPNeverRestarts(t *testing.T) {
	f := newGCP(t)
	f.restart = true
	msg, _ := fails(t, f.router())
	assert.Contains(t, msg, "requires RESTART")
	assert.Empty(t, f.writes)
}

func TestGCPRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		o   options
		msg string
	}{
		"interfaces":     {options{"interfaces": []string{"nic1"}}, "interfaces: on GCP forwarding is a property of the whole instance"},
		"half an id":     {options{"name": "gcp-1"}, "project, zone, name: all three of them or none"},
		"another's id":   {options{"resource_id": "/x"}, "resource_id: goes with cloud: azure"},
		"a strange name": {options{"project": "p", "zone": "z", "name": "../x"}, `name: expected a name as Google Cloud has them, got "../x"`},
		"the real API":   {options{"api_endpoint": ""}, "compute.googleapis.com: a test reaches loopback only"},
		"no override":    {options{"metadata_endpoint": ""}, "metadata.google.internal: a test reaches loopback only"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newGCP(t)
			f.control(t) // its credentials, where a name is given
			msg, _ := fails(t, f.router().and(tt.o))
			assert.Contains(t, msg, tt.msg)
			assert.Empty(t, f.writes)
		})
	}
}
