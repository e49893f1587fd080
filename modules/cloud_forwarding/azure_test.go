package cloudforwarding_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/azure"
	"github.com/wgmesh/router/internal/must"
)

// fakeAzure is the stand-in with the options that lead to it.
type fakeAzure struct{ *azure.Cloud }

func newAzure(t *testing.T) *fakeAzure { return &fakeAzure{azure.Start(t)} }

// router are the options on the router itself.
func (f *fakeAzure) router() options {
	return options{"cloud": "azure", "api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20}
}

// control are the options on a control node where somebody has used az login.
func (f *fakeAzure) control() options {
	f.Login()
	return options{"resource_id": azure.VM, "api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20}
}

func TestAzureOnTheRouter(t *testing.T) {
	f := newAzure(t)
	want := map[string]any{}
	require.NoError(t, json.Unmarshal(must.Get(json.Marshal(f.NICs[azure.NICA]))(t), &want))
	want["properties"].(map[string]any)["enableIPForwarding"] = true

	result := task.Succeeds(t, f.router())
	assert.Subset(t, result, options{"changed": true, "verified": true, "instance": azure.VM})
	assert.Equal(t, f.URL+"/", f.Audience)
	assert.Equal(t, []any{azure.NICA + ": enabled forwarding", azure.NICB + ": enabled forwarding"}, result["done"])
	assert.Equal(t, want, f.NICs[azure.NICA], "every other field survives, also those that we do not know")
	assert.False(t, f.Forwarding(azure.NICOther), "a foreign interface is left alone")

	task.Unchanged(t, f.router())
	assert.Len(t, f.Writes, 2)

	result = task.Run(t, f.router().And(options{"state": "disabled", "interfaces": "primary"}))
	assert.Equal(t, []any{azure.NICA + ": disabled forwarding"}, result["done"])
	assert.True(t, f.Forwarding(azure.NICB))
}

func TestAzureFromTheControlNode(t *testing.T) {
	f := newAzure(t)
	result := task.Succeeds(t, f.control().And(options{"interfaces": []string{"router-b"}}))
	assert.Equal(t, "azure", result["cloud"])
	assert.Equal(t, []string{"PUT router-b"}, f.Writes)
	assert.Zero(t, f.Token, "the identity of the machine it runs on was not asked for")
}

func TestAzureCheckMode(t *testing.T) {
	f := newAzure(t)
	result := task.Run(t, f.router().And(check))
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.Empty(t, f.Writes)
}

func TestAzureForeignInterface(t *testing.T) {
	f := newAzure(t)
	assert.Contains(t, task.Fails(t, f.router().And(options{"interfaces": []string{azure.NICOther}})),
		"interfaces: "+azure.NICOther+" is none of "+azure.VM)
	f.NICs[azure.NICB]["properties"].(map[string]any)["virtualMachine"] = map[string]any{"id": azure.VM + "2"}
	assert.Contains(t, task.Fails(t, f.router()), "router-b: it is not attached to "+azure.VM)
	assert.Empty(t, f.Writes)
}

// Somebody writes between our read and our write: their change is kept.
func TestAzureLostRace(t *testing.T) {
	f := newAzure(t)
	f.Fault("PUT "+azure.NICA, 412, "PreconditionFailedEtagMismatch", "changed")
	f.Faults["PUT "+azure.NICA] = append(f.Faults["PUT "+azure.NICA], f.Faults["PUT "+azure.NICA]...)
	assert.Equal(t, true, task.Succeeds(t, f.router())["verified"])

	f = newAzure(t)
	reads := 0
	f.Served = func(where string) {
		if where == "GET "+azure.NICA {
			if reads++; reads == 2 { // the one before our write
				f.NICs[azure.NICA]["tags"] = map[string]any{"theirs": "kept"}
				f.ETag++
			}
		}
	}
	require.Equal(t, true, task.Run(t, f.router())["verified"])
	assert.Equal(t, map[string]any{"theirs": "kept"}, f.NICs[azure.NICA]["tags"])
	assert.Equal(t, []string{"PUT router-a", "PUT router-b"}, f.Writes)
	assert.GreaterOrEqual(t, reads, 4)

	f = newAzure(t)
	for range 20 {
		f.Fault("PUT "+azure.NICA, 412, "PreconditionFailed", "changed")
	}
	assert.Contains(t, task.FailsUnchanged(t, f.router()),
		"PreconditionFailed: changed (request req-4711); lost against another writer 8 times")
}

func TestAzureThrottling(t *testing.T) {
	f := newAzure(t)
	for range 10 {
		f.Fault("PUT "+azure.NICA, 429, "RetryableErrorTooManyRequests", "slow down", "Retry-After", "0")
		f.Fault("GET "+azure.VM, 429, "TooManyRequests", "slow down")
	}
	assert.Equal(t, true, task.Run(t, f.router())["verified"])

	f = newAzure(t)
	f.Fault("PUT "+azure.NICA, 429, "TooManyRequests", "slow down", "Retry-After", "60")
	assert.Equal(t,
		azure.NICA+": write the network interface: TooManyRequests: slow down (request req-4711); "+
			"still so when `timeout` was over",
		task.FailsUnchanged(t, f.router().And(options{"timeout": 3})))
}

func TestAzureExpiredToken(t *testing.T) {
	f := newAzure(t)
	f.Valid = 3
	assert.Contains(t, task.Fails(t, f.router()), "ExpiredAuthenticationToken", "one new token, no more")
	f.Valid = f.Token + 2
	assert.Equal(t, true, task.Run(t, f.router())["verified"])
}

func TestAzureMissingPermission(t *testing.T) {
	for name, tt := range map[string]struct{ where, code, message, missing string }{
		"to read": {
			"GET " + azure.VM, "AuthorizationFailed",
			"The client 'x' does not have authorization to perform action " +
				"'Microsoft.Compute/virtualMachines/read' over scope '/subscriptions/1'",
			"Microsoft.Compute/virtualMachines/read",
		},
		"to write": {
			"PUT " + azure.NICA, "AuthorizationFailed",
			"The client 'x' does not have authorization to perform action " +
				"'Microsoft.Network/networkInterfaces/write' over scope '/subscriptions/1'",
			"Microsoft.Network/networkInterfaces/write",
		},
		"to join": {
			"PUT " + azure.NICA, "LinkedAuthorizationFailed",
			"The client has permission to perform action 'Microsoft.Network/networkInterfaces/write' on scope '/s'; " +
				"however, it does not have permission to perform action(s) " +
				"'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) '/s'",
			"Microsoft.Network/virtualNetworks/subnets/join/action",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAzure(t)
			f.Fault(tt.where, 403, tt.code, tt.message)
			msg := task.FailsUnchanged(t, f.router())
			assert.Contains(t, msg, tt.code)
			assert.Contains(t, msg, "(request req-4711); the permission "+tt.missing+" is missing")
		})
	}
	t.Run("no identity", func(t *testing.T) {
		f := newAzure(t)
		f.NoID = true
		assert.Contains(t, task.Fails(t, f.router()),
			"token of the managed identity: invalid_request: Identity not found; the VM has no managed identity")
	})
}

// The second of two interfaces is not allowed: the first is done, and said.
func TestAzureHalfWay(t *testing.T) {
	f := newAzure(t)
	f.Fault("PUT "+azure.NICB, 403, "ScopeLocked", "The scope is locked.")
	result := task.Run(t, f.router())
	assert.Equal(t,
		azure.NICB+
			": write the network interface: ScopeLocked: The scope is locked (request req-4711); "+
			"there is a lock on the resource: remove it for the moment of the change", result["msg"])
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.Equal(t, []any{azure.NICA + ": enabled forwarding"}, result["done"])
}

// While an operation is asked for, Azure may be busy and the token may expire.
func TestAzureTroubleWhileItWaits(t *testing.T) {
	f := newAzure(t)
	for range 6 {
		f.Fault("GET "+azure.Operation, 429, "TooManyRequests", "slow down", "Retry-After", "0")
	}
	f.Fault("GET "+azure.Operation, 500, "InternalServerError", "once")
	f.OnPoll = func() { f.Valid, f.OnPoll = f.Token+1, nil }
	assert.Equal(t, true, task.Run(t, f.router())["verified"])

	f = newAzure(t)
	f.Polls = 1 << 30
	assert.Equal(t,
		azure.NICA+": write the network interface: the operation is InProgress; still so when `timeout` was over",
		task.FailsChanged(t, f.router().And(options{"timeout": 3})))
}

// The metadata service answers so while it is updated.
func TestAzureBusyMetadata(t *testing.T) {
	f := newAzure(t)
	for _, path := range []string{"/metadata/instance", "/metadata/identity/oauth2/token"} {
		for range 8 {
			f.Fault("GET "+path, 410, "", "")
		}
		f.Fault("GET "+path, 429, "", "")
		f.Fault("GET "+path, 500, "", "")
	}
	assert.Equal(t, true, task.Run(t, f.router())["verified"])
}

// On a control node the login is that of the cloud whose API it is.
func TestAzureLogin(t *testing.T) {
	for api, login := range map[string]string{
		"":                                       "login.microsoftonline.com",
		"https://management.chinacloudapi.cn":    "login.chinacloudapi.cn",
		"https://management.chinacloudapi.cn/":   "login.chinacloudapi.cn",
		"https://management.usgovcloudapi.net":   "login.microsoftonline.us",
		"https://management.local.azurestack.eu": "login.azurestack.eu",
	} {
		t.Run(login, func(t *testing.T) {
			f := newAzure(t)
			o := f.control().And(options{"api_endpoint": api})
			t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
			t.Setenv("AZURE_TENANT_ID", "00000000-0000-0000-0000-000000000002")
			t.Setenv("AZURE_CLIENT_ID", "00000000-0000-0000-0000-000000000003")
			t.Setenv("AZURE_CLIENT_SECRET", "secret")
			if strings.Contains(api, "azurestack") {
				t.Setenv("AZURE_AUTHORITY_HOST", "https://login.azurestack.eu")
			}
			msg := task.Fails(t, o)
			assert.Contains(t, msg, login+": a test reaches loopback only")
			assert.NotContains(t, msg, "secret\"")
		})
	}
}

func TestAzureFailsLate(t *testing.T) {
	f := newAzure(t)
	f.Faults["GET "+azure.Operation] = []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
		fakecloud.Answer(w, map[string]any{"status": "Failed"})
	}}
	assert.Equal(t,
		azure.NICA+": write the network interface: the operation ended with Failed", task.FailsChanged(t, f.router()))

	for _, code := range []string{"OperationPreempted", "AnotherOperationInProgress", "Canceled"} { // another one won
		f = newAzure(t)
		f.Fails = code
		f.OnPoll = func() {
			if len(f.Writes) == 2 {
				f.Fails = ""
			}
		}
		assert.Equal(t, true, task.Run(t, f.router())["verified"], code)
	}

	f = newAzure(t)
	f.Fails = "InternalServerError"
	assert.Equal(t,
		azure.NICA+": write the network interface: InternalServerError: It went wrong (request req-op)",
		task.FailsChanged(t, f.router()))
}

func TestAzureVanishes(t *testing.T) {
	f := newAzure(t)
	f.Fault("GET "+azure.VM, 404, "ResourceNotFound", "The Resource was not found.")
	assert.Contains(t, task.Fails(t, f.router()),
		"ResourceNotFound: The Resource was not found (request req-4711); check ")

	f = newAzure(t)
	f.OnPoll = func() { maps.DeleteFunc(f.NICs, func(string, map[string]any) bool { return true }) }
	assert.Contains(t, task.FailsChanged(t, f.router()), "and that it was not deleted")
}

// A write has to wait for another one that is going on.
func TestAzureBusyInterface(t *testing.T) {
	f := newAzure(t)
	properties := f.NICs[azure.NICA]["properties"].(map[string]any)
	properties["provisioningState"] = "Updating"
	reads := 0
	f.Served = func(where string) {
		if reads++; where == "GET "+azure.NICA && reads == 5 {
			properties["provisioningState"] = "Succeeded"
		}
	}
	assert.Equal(t, true, task.Run(t, f.router())["verified"])
}

func TestAzureRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		set func(*fakeAzure)
		o   options
		msg string
	}{
		"a uniform scale set": {set: func(f *fakeAzure) {
			f.ID = azure.Group + "/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines/0"
		}, msg: "it belongs to a scale set with uniform orchestration"},
		"a cloud unknown": {set: func(f *fakeAzure) {
			f.Environ = "AzureStack"
		}, o: options{"api_endpoint": ""}, msg: `api_endpoint: needed in the cloud "AzureStack"`},
		"no VM's id": {
			o: options{"resource_id": azure.NICA},
			msg: "resource_id: expected " +
				"/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Compute/virtualMachines/NAME",
		},
		"the public cloud": {
			o: options{"api_endpoint": ""}, msg: "management.azure.com: a test reaches loopback only",
		},
		"china": {set: func(f *fakeAzure) {
			f.Environ = "AzureChinaCloud"
		}, o: options{"api_endpoint": ""}, msg: "management.chinacloudapi.cn: a test reaches loopback only"},
		"the government": {set: func(f *fakeAzure) {
			f.Environ = "AzureUSGovernmentCloud"
		}, o: options{"api_endpoint": ""}, msg: "management.usgovcloudapi.net: a test reaches loopback only"},
		"no override": {
			o: options{"metadata_endpoint": ""}, msg: "169.254.169.254: a test reaches loopback only",
		},
		"another cloud's id": {
			o: options{"instance_id": "i-1"}, msg: "instance_id: goes with cloud: aws, got cloud: azure",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAzure(t)
			t.Setenv("AZURE_TOKEN_CREDENTIALS", "AzureCLICredential")
			if tt.set != nil {
				tt.set(f)
			}
			assert.Contains(t, task.Fails(t, f.router().And(tt.o)), tt.msg)
			assert.Empty(t, f.Writes)
		})
	}
}

// An answer that sends the token elsewhere is not followed.
func TestAzureKeepsTheTokenHome(t *testing.T) {
	f := newAzure(t)
	f.Faults["PUT "+azure.NICA] = []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Azure-AsyncOperation", "http://127.0.0.1:1/operations/1")
		w.WriteHeader(201)
		fakecloud.Answer(w, map[string]any{"id": azure.NICA})
	}}
	assert.Contains(t, task.Fails(t, f.router()), "the answer names 127.0.0.1:1, which is not below "+f.URL)
}
