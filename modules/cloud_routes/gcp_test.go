package cloudroutes_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/gcp"
	"github.com/wgmesh/router/internal/fakecloud/rig"
)

// fakeGCP is the stand-in with the options that lead to it.
type fakeGCP struct{ *gcp.Cloud }

func newGCP(t *testing.T) *fakeGCP { return &fakeGCP{gcp.Start(t)} }

// router are the options on the router itself.
func (f *fakeGCP) router() options {
	return options{
		"cloud": "gcp", "mesh": "example", "tables": []string{"mesh-vpc"}, "prefixes": []string{"10.0.0.0/16"},
		"api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 120,
	}
}

// control are the options on a control node with the key of a service account.
func (f *fakeGCP) control() options {
	f.Login()
	return f.router().And(options{
		"cloud": "auto", "project": "example.com:mesh", "via": "zones/europe-west3-b/instances/gcp-2",
	})
}

func TestGCPFromNothing(t *testing.T) {
	f := newGCP(t)
	before := f.Without()
	o := f.router().And(options{"prefixes": []string{"10.0.0.0/16", "2001:db8::/32"}})
	result := task.Succeeds(t, o)
	assert.Subset(t, result, options{"verified": true, "via": gcp.Router})
	assert.Equal(t,
		[]any{
			"mesh-vpc: 10.0.0.0/16: goes to " + gcp.Router + " with priority 1000 now",
			"mesh-vpc: 2001:db8::/32: goes to " + gcp.Router + " with priority 1000 now",
		}, result["done"])
	first := result["routes"].([]any)[0].(map[string]any)
	assert.Regexp(t, `^wgmesh-example-[0-9a-f]{12}$`, first["name"])
	assert.InDelta(t, 1000, first["priority"], 0)
	assert.Equal(t, "wgmesh.router example", f.Routes["example.com:mesh/"+first["name"].(string)]["description"])
	assert.Equal(t, before, f.Without("10.0.0.0/16", "2001:db8::/32"), "other routes are as they were")

	task.Unchanged(t, o)
	assert.Len(t, f.Writes, 2)

	assert.Len(t, task.Succeeds(t, o.And(absent))["done"], 2)
	assert.Equal(t, before, f.Routes)
	task.Unchanged(t, o.And(absent))
}

// A route cannot be changed: the new one is there before the old one goes.
func TestGCPMakesBeforeItBreaks(t *testing.T) {
	f := newGCP(t)
	f.Ours("before", "10.0.0.0/16", 1000, gcp.Router)
	f.Ours("partner", "10.0.0.0/16", 900, gcp.Partner)
	seen := [][]string{}
	f.OnList = func() { seen = append(seen, f.Names("10.0.0.0/16")) }
	result := task.Succeeds(t, f.router().And(options{"priority": 800}))
	assert.Equal(t, []string{"insert 10.0.0.0/16 800", "delete wgmesh-example-before"}, f.Writes)
	assert.Equal(t,
		[]any{"mesh-vpc: 10.0.0.0/16: goes to " + gcp.Router +
			" with priority 800 now, before to " + gcp.Router + " with priority 1000"}, result["done"])
	assert.Equal(t, []string{"800 gcp-1", "900 gcp-2"}, f.Names("10.0.0.0/16"), "the partner's stands beside ours")
	assert.Len(t, result["routes"], 2)

	// It ended between the two: the next run takes the old one away.
	f = newGCP(t)
	f.Ours("before", "10.0.0.0/16", 1000, gcp.Router)
	f.Fault("DELETE "+gcp.Routes+"/", 403, "forbidden",
		"Required 'compute.routes.delete' permission for 'projects/mesh/global/routes/x'")
	msg := task.FailsChanged(t, f.router().And(options{"priority": 800}))
	assert.Contains(t, msg, "mesh-vpc: 10.0.0.0/16: delete the route wgmesh-example-before: ")
	assert.Contains(t, msg, "the permission compute.routes.delete is missing")
	assert.Equal(t, []string{"1000 gcp-1", "800 gcp-1"}, f.Names("10.0.0.0/16"))
	assert.Len(t, task.Succeeds(t, f.router().And(options{"priority": 800}))["done"], 1)
	assert.Equal(t, []string{"800 gcp-1"}, f.Names("10.0.0.0/16"))
}

func TestGCPFromTheControlNode(t *testing.T) {
	f := newGCP(t)
	result := task.Succeeds(t,
		f.control().And(options{"tables": []string{gcp.Network}, "project": ""}).And(options{"via": gcp.Partner}))
	assert.Equal(t, "gcp", result["cloud"])
	assert.Equal(t, []string{"1000 gcp-2"}, f.Names("10.0.0.0/16"))
	assert.Zero(t, f.Token, "the service account of the machine it runs on was not asked for")
	task.Unchanged(t, f.control())
}

func TestGCPSomebodyElsesRoute(t *testing.T) {
	for name, tt := range map[string]struct {
		add func(*fakeGCP)
		to  string
	}{
		"a peering": {func(f *fakeGCP) {
			f.Add("peering-1", "", "10.0.0.0/16", 0, "nextHopPeering", "hub")
		}, "the peering hub by the route peering-1"},
		"without marks": {func(f *fakeGCP) {
			f.Add("by-hand-2", "", "10.0.0.0/16", 2000, "nextHopInstance", gcp.Router)
		}, gcp.Router + " by the route by-hand-2"},
		"another mesh": {func(f *fakeGCP) {
			f.Add("wgmesh-example-b-1", "wgmesh.router example-b", "10.0.0.0/16", 1000, "nextHopInstance", gcp.Router)
		}, gcp.Router + " by the route wgmesh-example-b-1"},
		"half a mark": {func(f *fakeGCP) {
			f.Add("wgmesh-example-1", "", "10.0.0.0/16", 1000, "nextHopInstance", gcp.Router)
		}, gcp.Router + " by the route wgmesh-example-1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newGCP(t)
			tt.add(f)
			before := f.Without()
			assert.Equal(t,
				"mesh-vpc: 10.0.0.0/16: it goes to "+tt.to+": remove that route where it is made, "+
					"or take the prefix out of `prefixes`",
				task.FailsUnchanged(t, f.router()))
			task.Unchanged(t, f.router().And(absent))
			assert.Equal(t, before, f.Routes)
			assert.Empty(t, f.Writes)
		})
	}
}

func TestGCPAbsentLeavesThePartners(t *testing.T) {
	f := newGCP(t)
	f.Ours("a", "10.0.0.0/16", 1000, gcp.Router)
	f.Ours("b", "10.0.0.0/16", 900, gcp.Partner)
	f.Ours("c", "10.7.0.0/16", 1000, gcp.Router)
	task.Succeeds(t, f.router().And(absent))
	assert.Equal(t, []string{"delete wgmesh-example-a"}, f.Writes)
}

func TestGCPCheckMode(t *testing.T) {
	f := newGCP(t)
	f.Ours("before", "10.0.0.0/16", 1000, gcp.Router)
	before := f.Without()
	o := f.router().And(check).And(options{"priority": 800, "_ansible_diff": true})
	result := task.Succeeds(t, o)
	assert.Subset(t, result, options{"changed": true, "verified": false})
	assert.NotContains(t, result, "warnings")
	assert.Contains(t, result["diff"].(map[string]any)["after"], "priority: 800")
	f.Scopes = "https://www.googleapis.com/auth/compute.readonly"
	warnings := task.Succeeds(t, o)["warnings"].([]any)
	assert.Contains(t, warnings[0],
		"the instance's access scopes do not let it change routes; it needs https://www.googleapis.com/auth/compute or")
	assert.Equal(t, before, f.Routes)
	assert.Empty(t, f.Writes)
	assert.Contains(t, task.FailsUnchanged(t, f.router().And(options{"priority": 800})),
		"access scopes do not let it change routes")
}

// What Google warns of is a warning of the module, when it was made and later.
func TestGCPWarnings(t *testing.T) {
	f := newGCP(t)
	f.Warning = map[string]any{
		"code": "NEXT_HOP_CANNOT_IP_FORWARD", "message": "Next hop instance 'gcp-1' cannot\nforward.",
	}
	want := []any{"mesh-vpc: 10.0.0.0/16: the route to " + gcp.Router +
		" with priority 1000 carries nothing: NEXT_HOP_CANNOT_IP_FORWARD: Next hop instance 'gcp-1' cannot forward"}
	result := task.Succeeds(t, f.router())
	assert.Subset(t, result, options{"warnings": want, "verified": true})
	result = task.Succeeds(t, f.router())
	assert.Subset(t, result, options{"changed": false, "warnings": want})

	f = newGCP(t)
	f.Ours("a", "10.0.0.0/16", 1000, gcp.Router)["routeStatus"] = "DROPPED"
	assert.Contains(t, task.Succeeds(t, f.router())["warnings"].([]any)[0], "its status is DROPPED")
}

// What others do between our read and our write.
func TestGCPLostRace(t *testing.T) {
	t.Run("it is there already", func(t *testing.T) {
		f := newGCP(t)
		task.Succeeds(t, f.router())
		made := f.Without()
		for name := range made {
			delete(f.Routes, name)
		}
		first := true
		f.OnList = func() {
			if first {
				f.Routes, first = made, false
			}
		}
		writes := len(f.Writes)
		result := task.Succeeds(t, f.router())
		assert.Equal(t, true, result["verified"])
		assert.Len(t, f.Writes, writes)
		assert.Equal(t, []string{"1000 gcp-1"}, f.Names("10.0.0.0/16"))
	})
	t.Run("what we delete is gone", func(t *testing.T) {
		f := newGCP(t)
		f.Ours("a", "10.0.0.0/16", 1000, gcp.Router)
		f.OnList = func() { delete(f.Routes, "example.com:mesh/wgmesh-example-a") }
		assert.Equal(t, true, task.Succeeds(t, f.router().And(absent))["verified"])
		assert.Empty(t, f.Writes)
	})
	t.Run("somebody deletes what we made", func(t *testing.T) {
		f := newGCP(t)
		f.Deletes = "10.0.0.0/16"
		assert.Equal(t,
			"mesh-vpc: 10.0.0.0/16: was set and does not read so: there is none; find what else sets it; "+
				"still so when `timeout` was over",
			task.FailsChanged(t, f.router().And(options{"timeout": 2})))
		assert.Len(t, f.Writes, 1, "it is not fought for")
	})
}

func TestGCPMissingPermission(t *testing.T) {
	for where, permission := range map[string]string{
		"GET " + gcp.Routes: "compute.routes.list", "POST " + gcp.Routes: "compute.networks.updatePolicy",
	} {
		f := newGCP(t)
		f.Fault(where, 403, "forbidden",
			"Required '"+permission+"' permission for 'projects/mesh/global/networks/mesh-vpc'")
		assert.Contains(t, task.FailsUnchanged(t, f.router()),
			"(request req-gcp); the permission "+permission+" is missing: allow it in a role of the account")
	}
	f := newGCP(t)
	f.Scopes = ""
	assert.Contains(t, task.Fails(t, f.router()), "the instance has no service account to act with")
}

func TestGCPFailsLate(t *testing.T) {
	f := newGCP(t)
	f.Fails = "QUOTA_EXCEEDED"
	assert.Regexp(t,
		`^mesh-vpc: 10.0.0.0/16: make the route: QUOTA_EXCEEDED: It went wrong \(request [0-9a-f-]{36}\)$`,
		task.FailsChanged(t, f.router()))
	assert.Empty(t, f.Names("10.0.0.0/16"))

	// The old one stays where the new one did not come.
	f.Ours("before", "10.0.0.0/16", 1000, gcp.Router)
	task.Fails(t, f.router().And(options{"priority": 800}))
	assert.Equal(t, []string{"1000 gcp-1"}, f.Names("10.0.0.0/16"))
}

func TestGCPVanishes(t *testing.T) {
	f := newGCP(t)
	assert.Contains(t, task.Fails(t, f.router().And(options{"tables": []string{"gone-vpc"}})),
		"gone-vpc: 10.0.0.0/16: make the route: notFound: The resource "+
			"'projects/example.com:mesh/global/networks/gone-vpc' was not found (request req-gcp); check ")
	f.Fault("GET "+gcp.Routes, 404, "notFound", "The resource 'projects/x' was not found")
	assert.Contains(t, task.Fails(t, f.router()), "check its project, zone and name")
}

func TestGCPRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		o   options
		msg string
	}{
		"a strange network": {
			options{"tables": []string{"a/b"}},
			`tables: expected the name of a network, or projects/PROJECT/global/networks/NAME, got "a/b"`,
		},
		"a strange via": {
			options{"via": "gcp-1"},
			`via: expected zones/ZONE/instances/NAME, ` +
				`with projects/PROJECT/ before it or with the option project, got "gcp-1"`,
		},
		"region":       {options{"region": "x", "via": gcp.Router}, "region: goes with cloud: aws, got cloud: gcp"},
		"the real API": {options{"api_endpoint": ""}, "compute.googleapis.com: a test reaches loopback only"},
		"no override":  {options{"metadata_endpoint": ""}, "metadata.google.internal: a test reaches loopback only"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newGCP(t)
			f.control() // its credentials, where a router is named
			assert.Contains(t, task.Fails(t, f.router().And(tt.o)), tt.msg)
			assert.Empty(t, f.Writes)
		})
	}
	result := task.On(t,
		rig.DMI(map[string]string{"sys_vendor": "Google", "product_name": "Google Compute Engine"}),
		newGCP(t).router().And(options{"cloud": "auto"}))
	require.NotContains(t, result, "failed", "%v", result["msg"])
	assert.Equal(t, "gcp", result["cloud"])
}

// The network is another project's: a route there takes no instance of this one.
func TestGCPSharedVPC(t *testing.T) {
	f := newGCP(t)
	partner := f.Ours("partner", "10.0.0.0/16", 1000, gcp.Partner)
	delete(partner, "nextHopInstance")
	delete(f.Routes, "example.com:mesh/wgmesh-example-partner")
	partner["network"], partner["nextHopIp"] = "https://www.googleapis.com/compute/v1/"+gcp.Shared, "10.7.0.3"
	f.Routes["host-project/wgmesh-example-partner"] = partner
	before := f.Without()
	o := f.router().And(options{"tables": []string{gcp.Shared}})
	result := task.Succeeds(t, o)
	assert.Equal(t,
		[]any{gcp.Shared + ": 10.0.0.0/16: goes to " + gcp.Router + " with priority 1000 now"}, result["done"])
	assert.Len(t, result["routes"], 2, "the partner's stands beside ours")
	var made map[string]any
	for name, r := range f.Routes {
		if before[name] == nil {
			made = r
		}
	}
	require.NotNil(t, made)
	assert.Equal(t, "10.7.0.2", made["nextHopIp"])
	assert.NotContains(t, made, "nextHopInstance")
	task.Unchanged(t, o)

	// Another priority: the route is known by its address.
	task.Succeeds(t, o.And(options{"priority": 900}))
	assert.Len(t, f.Routes, len(before)+1)
	task.Unchanged(t, o.And(options{"priority": 900}))
	task.Succeeds(t, o.And(options{"priority": 900}).And(absent))
	assert.Equal(t, before, f.Routes)

	f.VM["networkInterfaces"].([]any)[1].(map[string]any)["networkIP"] = ""
	assert.Contains(t, task.FailsUnchanged(t, o),
		"example.com:mesh/europe-west3-a/gcp-1 has no address of that family in this network")
}
