package cloudroutes_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud/azure"
)

// fakeAzure is the stand-in with the options that lead to it.
type fakeAzure struct{ *azure.Cloud }

func newAzure(t *testing.T) *fakeAzure { return &fakeAzure{azure.Start(t)} }

// router are the options on the router itself.
func (f *fakeAzure) router() options {
	return options{
		"cloud": "azure", "mesh": "example", "tables": []string{azure.Table}, "prefixes": []string{"10.0.0.0/16"},
		"api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 120,
	}
}

// control are the options on a control node where somebody has used az login.
func (f *fakeAzure) control() options {
	f.Login()
	return f.router().And(options{"cloud": "auto", "via": "10.1.0.4"})
}

const azureTwo = azure.Table + "/routes/wgmesh-example-10-2-0-0-16"

func TestAzureFromNothing(t *testing.T) {
	f := newAzure(t)
	before := f.Without()
	o := f.router().And(options{"prefixes": []string{"10.0.0.0/16", "10.2.0.0/16"}})
	result := task.Succeeds(t, o)
	assert.Equal(t, true, result["verified"])
	assert.Equal(t, "10.1.1.4", result["via"], "this machine's first address")
	assert.Equal(t, f.URL+"/", f.Audience)
	assert.Equal(t,
		[]any{azure.Table + ": 10.0.0.0/16: goes to 10.1.1.4 now", azure.Table + ": 10.2.0.0/16: goes to 10.1.1.4 now"},
		result["done"])
	assert.Equal(t,
		map[string]any{
			"table": azure.Table, "prefix": "10.0.0.0/16", "via": "10.1.1.4",
			"name": "wgmesh-example-10-0-0-0-16",
		}, result["routes"].([]any)[0])
	assert.Equal(t, before, f.Without(azure.Ours, azureTwo), "other routes are as they were")

	task.Unchanged(t, o)
	assert.Len(t, f.Writes, 2)

	assert.Len(t, task.Succeeds(t, o.And(absent))["done"], 2)
	assert.Equal(t, before, f.Without())
	task.Unchanged(t, o.And(absent))
}

// Nothing in the metadata says which of several interfaces is the primary one.
func TestAzureSeveralInterfaces(t *testing.T) {
	f := newAzure(t)
	f.Second = "10.1.9.4"
	assert.Equal(t,
		"via: this machine has 2 network interfaces, and its metadata does not say which is the primary one: "+
			"give the address that the routes shall go to",
		task.FailsUnchanged(t, f.router()))
	assert.Empty(t, f.Writes)
	assert.Equal(t, "10.1.1.4", task.Succeeds(t, f.control().And(options{"via": "10.1.1.4"}))["via"])
}

// The address of a load balancer, from the control node, in place of another one:
// every other field of the route survives.
func TestAzureFromTheControlNode(t *testing.T) {
	f := newAzure(t)
	f.Add("wgmesh-example-10-0-0-0-16", "10.0.0.0/16", "VirtualAppliance", "10.1.0.5")
	want := f.Without()
	want[azure.Ours]["properties"].(map[string]any)["nextHopIpAddress"] = "10.1.0.4"
	result := task.Succeeds(t, f.control())
	assert.Equal(t, "azure", result["cloud"])
	assert.Equal(t, []any{azure.Table + ": 10.0.0.0/16: goes to 10.1.0.4 now, before to 10.1.0.5"}, result["done"])
	assert.Equal(t, want, f.Without())
	assert.Zero(t, f.Token, "the identity of the machine it runs on was not asked for")
	assert.Equal(t, []string{"PUT wgmesh-example-10-0-0-0-16"}, f.Writes, "one route, not the table")

	// One of ours that somebody has turned is ours still.
	f.Routes[azure.Ours]["properties"].(map[string]any)["nextHopType"] = "None"
	assert.Contains(t, task.Succeeds(t, f.control())["done"].([]any)[0],
		"goes to 10.1.0.4 now, before to the next hop None")
}

func TestAzureIPv6(t *testing.T) {
	f := newAzure(t)
	o := f.control().And(options{"prefixes": []string{"2001:db8::/32"}, "via": "fd00::0004"})
	assert.Equal(t, "wgmesh-example-2001-db8---32", task.Succeeds(t, o)["routes"].([]any)[0].(map[string]any)["name"])
	task.Unchanged(t, o)
	assert.Equal(t,
		"prefixes: 2001:db8::/32 cannot go to 10.1.0.4, which is of the other family of addresses: use a task for each",
		task.Fails(t, o.And(options{"via": "10.1.0.4"})))
}

func TestAzureSomebodyElsesRoute(t *testing.T) {
	for name, to := range map[string]string{
		"by-hand-2":                      "10.1.1.4 by the route by-hand-2",
		"wgmesh-example-b-10-0-0-0-16":   "10.1.1.4 by the route wgmesh-example-b-10-0-0-0-16",
		"wgmesh-example-10-0-0-0-16-old": "10.1.1.4 by the route wgmesh-example-10-0-0-0-16-old",
	} {
		t.Run(name, func(t *testing.T) {
			f := newAzure(t)
			f.Add(name, "10.0.0.0/16", "VirtualAppliance", "10.1.1.4")
			before := f.Without()
			assert.Equal(t,
				azure.Table+": 10.0.0.0/16: it goes to "+to+": remove that route where it is made, "+
					"or take the prefix out of `prefixes`",
				task.FailsUnchanged(t, f.router()))
			task.Unchanged(t, f.router().And(absent))
			assert.Equal(t, before, f.Without())
			assert.Empty(t, f.Writes)
		})
	}
}

func TestAzureAbsentLeavesTheOthers(t *testing.T) {
	f := newAzure(t)
	f.Add("wgmesh-example-10-0-0-0-16", "10.0.0.0/16", "VirtualAppliance", "10.1.0.4")
	task.Unchanged(t, f.router().And(absent))
	assert.Len(t, task.Succeeds(t, f.control().And(absent))["done"], 1)
	assert.Equal(t, []string{"DELETE wgmesh-example-10-0-0-0-16"}, f.Writes)
}

func TestAzureCheckMode(t *testing.T) {
	f := newAzure(t)
	before := f.Without()
	result := task.Succeeds(t, f.router().And(check).And(options{"_ansible_diff": true}))
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.Contains(t, result["diff"].(map[string]any)["after"], "via: 10.1.1.4")
	assert.Equal(t, before, f.Without())
	assert.Empty(t, f.Writes)
}

// What others do between our read and our write is kept.
func TestAzureLostRace(t *testing.T) {
	there := func(t *testing.T) *fakeAzure {
		f := newAzure(t)
		f.Add("wgmesh-example-10-0-0-0-16", "10.0.0.0/16", "VirtualAppliance", "10.1.0.5")
		return f
	}
	t.Run("another field", func(t *testing.T) {
		f := there(t)
		reads := 0
		f.Served = func(where string) {
			if where == "GET "+azure.Ours {
				if reads++; reads == 1 {
					f.Routes[azure.Ours]["futureTheirs"] = "kept"
					f.ETag++
				}
			}
		}
		assert.Equal(t, true, task.Succeeds(t, f.router())["verified"])
		assert.Equal(t, "kept", f.Routes[azure.Ours]["futureTheirs"])
		assert.Equal(t, 2, reads)
	})
	t.Run("it is deleted", func(t *testing.T) {
		f := there(t)
		f.Served = func(where string) {
			if where == "GET "+azure.Table && len(f.Writes) == 0 {
				delete(f.Routes, azure.Ours)
			}
		}
		result := task.Succeeds(t, f.router())
		assert.Equal(t, []any{azure.Table + ": 10.0.0.0/16: goes to 10.1.1.4 now"}, result["done"])
	})
	t.Run("it is turned", func(t *testing.T) {
		f := there(t)
		once := true
		f.Served = func(where string) {
			if where == "GET "+azure.Table && once {
				f.Routes[azure.Ours]["properties"].(map[string]any)["nextHopIpAddress"], once = "10.1.1.4", false
				f.ETag++
			}
		}
		assert.Equal(t, true, task.Succeeds(t, f.router())["verified"])
		assert.Empty(t, f.Writes, "somebody else has done it")
	})
	t.Run("what we delete is gone", func(t *testing.T) {
		f := there(t)
		f.Served = func(where string) {
			if where == "GET "+azure.Ours {
				delete(f.Routes, azure.Ours)
			}
		}
		task.Succeeds(t, f.router().And(absent).And(options{"via": ""}))
		f.Add("wgmesh-example-10-0-0-0-16", "10.0.0.0/16", "VirtualAppliance", "10.1.1.4")
		assert.Equal(t, true, task.Succeeds(t, f.router().And(absent))["verified"])
		assert.Empty(t, f.Writes)
	})
	t.Run("without end", func(t *testing.T) {
		f := there(t)
		f.Served = func(string) { f.ETag++ }
		assert.Equal(t,
			azure.Table+": 10.0.0.0/16: write the route wgmesh-example-10-0-0-0-16: PreconditionFailed: "+
				"Precondition failed (request req-4711); "+
				"lost against another writer 8 times: find it, and run again",
			task.FailsUnchanged(t, f.router()))
	})
}

// A table that another operation is changing is waited for.
func TestAzureBusyTable(t *testing.T) {
	f := newAzure(t)
	f.State = "Updating"
	reads := 0
	f.Served = func(string) {
		if reads++; reads == 5 {
			f.State = "Succeeded"
		}
	}
	assert.Equal(t, true, task.Succeeds(t, f.router())["verified"])

	f = newAzure(t)
	f.State = "Updating"
	assert.Equal(t,
		azure.Table+": its provisioningState is Updating; still so when `timeout` was over",
		task.Fails(t, f.router().And(options{"timeout": 2})))
}

func TestAzureMissingPermission(t *testing.T) {
	for where, permission := range map[string]string{
		"GET " + azure.Table: "Microsoft.Network/routeTables/read",
		"PUT " + azure.Ours:  "Microsoft.Network/routeTables/routes/write",
	} {
		f := newAzure(t)
		f.Fault(where, 403, "AuthorizationFailed",
			"The client 'x' does not have authorization to perform action '"+permission+
				"' over scope '/subscriptions/1'")
		assert.Contains(t, task.FailsUnchanged(t, f.router()),
			"(request req-4711); the permission "+permission+" is missing")
	}
	f := newAzure(t)
	f.Fault("PUT "+azure.Table+"/routes/wgmesh-example-10-70-0-0-16", 403, "AuthorizationFailed", "no")
	assert.Contains(t, task.FailsUnchanged(t,
		f.router().And(options{"prefixes": []string{"10.70.0.0/16", "10.71.0.0/16"}})),
		"10.70.0.0/16 and 1 more: ")
	assert.Empty(t, f.Writes, "the other one is not tried")
	f = newAzure(t)
	f.NoID = true
	assert.Contains(t, task.Fails(t, f.router()),
		"token of the managed identity: invalid_request: Identity not found; the VM has no managed identity")
}

func TestAzureFailsLate(t *testing.T) {
	f := newAzure(t)
	f.Fails = "InternalServerError"
	before := f.Without()
	assert.Equal(t,
		azure.Table+": 10.0.0.0/16: make the route wgmesh-example-10-0-0-0-16: InternalServerError: "+
			"It went wrong (request req-op)",
		task.FailsChanged(t, f.router()))
	assert.Equal(t, before, f.Without())
}

func TestAzureVanishes(t *testing.T) {
	f := newAzure(t)
	msg := task.Fails(t, f.router().And(options{"tables": []string{azure.Tables + "/gone"}}))
	assert.Contains(t, msg, azure.Tables+"/gone: read the route table: ResourceNotFound: ")
	assert.Contains(t, msg, "(request req-4711); check ")

	f.Served = func(where string) {
		if where == "GET "+azure.Table {
			f.Routes = nil
		}
	}
	assert.Contains(t, task.FailsUnchanged(t, f.router()),
		"make the route wgmesh-example-10-0-0-0-16: ResourceNotFound: ")

	f = newAzure(t)
	f.Served = func(where string) {
		if strings.HasPrefix(where, http.MethodPut) {
			f.Routes = nil
		}
	}
	assert.Contains(t, task.FailsChanged(t, f.router()), azure.Table+": read the route table: ResourceNotFound: ")
}

func TestAzureTrouble(t *testing.T) {
	f := newAzure(t)
	f.Add("wgmesh-example-10-0-0-0-16", "10.0.0.0/16", "VirtualAppliance", "10.1.1.4")["provisioningState"] = "Failed"
	assert.Equal(t,
		[]any{azure.Table + ": 10.0.0.0/16: the route to 10.1.1.4 carries nothing: its provisioningState is Failed"},
		task.Succeeds(t, f.router())["warnings"])
}

func TestAzureRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		set func(*fakeAzure)
		o   options
		msg string
	}{
		"no table's id": {
			o: options{"tables": []string{azure.Ours}},
			msg: "tables: expected " +
				"/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Network/routeTables/NAME, got ",
		},
		"no address": {
			o:   options{"via": "lb-1"},
			msg: `via: on Azure expected an address, such as that of the routers' load balancer, got "lb-1"`,
		},
		"a cloud unknown": {set: func(f *fakeAzure) {
			f.Environ = "AzureStack"
		}, o: options{"api_endpoint": ""}, msg: `api_endpoint: needed in the cloud "AzureStack"`},
		"the public cloud": {
			o: options{"api_endpoint": ""}, msg: "management.azure.com: a test reaches loopback only",
		},
		"china": {set: func(f *fakeAzure) {
			f.Environ = "AzureChinaCloud"
		}, o: options{"api_endpoint": ""}, msg: "management.chinacloudapi.cn: a test reaches loopback only"},
		"no override": {
			o: options{"metadata_endpoint": ""}, msg: "169.254.169.254: a test reaches loopback only",
		},
		"another's priority": {o: options{"priority": 1}, msg: "priority: goes with cloud: gcp, got cloud: azure"},
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
