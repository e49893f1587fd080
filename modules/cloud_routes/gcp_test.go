package cloudroutes_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGCPFromNothing(t *testing.T) {
	f := newGCP(t)
	before := f.without()
	o := f.router().and(options{"prefixes": []string{"10.0.0.0/16", "2001:db8::/32"}})
	result := succeeds(t, o)
	assert.Equal(t, true, result["verified"])
	assert.Equal(t, gcpRouter, result["via"])
	assert.Equal(t, []any{"mesh-vpc: 10.0.0.0/16: goes to " + gcpRouter + " with priority 1000 now", "mesh-vpc: 2001:db8::/32: goes to " + gcpRouter + " with priority 1000 now"}, result["done"])
	first := result["routes"].([]any)[0].(map[string]any)
	assert.Regexp(t, `^wgmesh-example-[0-9a-f]{12}$`, first["name"])
	assert.InDelta(t, 1000, first["priority"], 0)
	assert.Equal(t, "wgmesh.router example", f.routes["example.com:mesh/"+first["name"].(string)]["description"])
	assert.Equal(t, before, f.without("10.0.0.0/16", "2001:db8::/32"), "other routes are as they were")

	unchanged(t, o)
	assert.Len(t, f.writes, 2)

	assert.Len(t, succeeds(t, o.and(absent))["done"], 2)
	assert.Equal(t, before, f.routes)
	unchanged(t, o.and(absent))
}

// A route cannot be changed: the new one is there before the old one goes.
func TestGCPMakesBeforeItBreaks(t *testing.T) {
	f := newGCP(t)
	f.ours("before", "10.0.0.0/16", 1000, gcpRouter)
	f.ours("partner", "10.0.0.0/16", 900, gcpPartner)
	seen := [][]string{}
	f.onList = func() { seen = append(seen, f.names("10.0.0.0/16")) }
	result := succeeds(t, f.router().and(options{"priority": 800}))
	assert.Equal(t, []string{"insert 10.0.0.0/16 800", "delete wgmesh-example-before"}, f.writes)
	assert.Equal(t, []any{"mesh-vpc: 10.0.0.0/16: goes to " + gcpRouter + " with priority 800 now, before to " + gcpRouter + " with priority 1000"}, result["done"])
	assert.Equal(t, []string{"800 gcp-1", "900 gcp-2"}, f.names("10.0.0.0/16"), "the partner's stands beside ours")
	assert.Len(t, result["routes"], 2)

	// It ended between the two: the next run takes the old one away.
	f = newGCP(t)
	f.ours("before", "10.0.0.0/16", 1000, gcpRouter)
	f.fault("DELETE "+gcpRoutes, 403, "forbidden", "Required 'compute.routes.delete' permission for 'projects/mesh/global/routes/x'")
	msg, changed := fails(t, f.router().and(options{"priority": 800}))
	assert.Contains(t, msg, "mesh-vpc: 10.0.0.0/16: delete the route wgmesh-example-before: ")
	assert.Contains(t, msg, "the permission compute.routes.delete is missing")
	assert.True(t, changed)
	assert.Equal(t, []string{"1000 gcp-1", "800 gcp-1"}, f.names("10.0.0.0/16"))
	assert.Len(t, succeeds(t, f.router().and(options{"priority": 800}))["done"], 1)
	assert.Equal(t, []string{"800 gcp-1"}, f.names("10.0.0.0/16"))
}

func TestGCPFromTheControlNode(t *testing.T) {
	f := newGCP(t)
	result := succeeds(t, f.control(t).and(options{"tables": []string{gcpNetwork}, "project": ""}).and(options{"via": gcpPartner}))
	assert.Equal(t, "gcp", result["cloud"])
	assert.Equal(t, []string{"1000 gcp-2"}, f.names("10.0.0.0/16"))
	assert.Zero(t, f.token, "the service account of the machine it runs on was not asked for")
	unchanged(t, f.control(t))
}

func TestGCPSomebodyElsesRoute(t *testing.T) {
	for name, tt := range map[string]struct {
		add func(*fakeGCP)
		to  string
	}{
		"a peering":     {func(f *fakeGCP) { f.add("peering-1", "", "10.0.0.0/16", 0, "nextHopPeering", "hub") }, "the peering hub by the route peering-1"},
		"without marks": {func(f *fakeGCP) { f.add("by-hand-2", "", "10.0.0.0/16", 2000, "nextHopInstance", gcpRouter) }, gcpRouter + " by the route by-hand-2"},
		"another mesh": {func(f *fakeGCP) {
			f.add("wgmesh-example-b-1", "wgmesh.router example-b", "10.0.0.0/16", 1000, "nextHopInstance", gcpRouter)
		}, gcpRouter + " by the route wgmesh-example-b-1"},
		"half a mark": {func(f *fakeGCP) {
			f.add("wgmesh-example-1", "", "10.0.0.0/16", 1000, "nextHopInstance", gcpRouter)
		}, gcpRouter + " by the route wgmesh-example-1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newGCP(t)
			tt.add(f)
			before := f.without()
			msg, changed := fails(t, f.router())
			assert.Equal(t, "mesh-vpc: 10.0.0.0/16: it goes to "+tt.to+": remove that route where it is made, or take the prefix out of `prefixes`", msg)
			assert.False(t, changed)
			unchanged(t, f.router().and(absent))
			assert.Equal(t, before, f.routes)
			assert.Empty(t, f.writes)
		})
	}
}

func TestGCPAbsentLeavesThePartners(t *testing.T) {
	f := newGCP(t)
	f.ours("a", "10.0.0.0/16", 1000, gcpRouter)
	f.ours("b", "10.0.0.0/16", 900, gcpPartner)
	f.ours("c", "10.7.0.0/16", 1000, gcpRouter)
	succeeds(t, f.router().and(absent))
	assert.Equal(t, []string{"delete wgmesh-example-a"}, f.writes)
}

func TestGCPCheckMode(t *testing.T) {
	f := newGCP(t)
	f.ours("before", "10.0.0.0/16", 1000, gcpRouter)
	before := f.without()
	o := f.router().and(check).and(options{"priority": 800, "_ansible_diff": true})
	result := succeeds(t, o)
	assert.Equal(t, true, result["changed"])
	assert.Equal(t, false, result["verified"])
	assert.NotContains(t, result, "warnings")
	assert.Contains(t, result["diff"].(map[string]any)["after"], "priority: 800")
	f.scopes = "https://www.googleapis.com/auth/compute.readonly"
	warnings := succeeds(t, o)["warnings"].([]any)
	assert.Contains(t, warnings[0], "the instance's access scopes do not let it change routes; it needs https://www.googleapis.com/auth/compute or")
	assert.Equal(t, before, f.routes)
	assert.Empty(t, f.writes)
	msg, changed := fails(t, f.router().and(options{"priority": 800}))
	assert.Contains(t, msg, "access scopes do not let it change routes")
	assert.False(t, changed)
}

// What Google warns of is a warning of the module, when it was made and later.
func TestGCPWarnings(t *testing.T) {
	f := newGCP(t)
	f.warning = map[string]any{"code": "NEXT_HOP_CANNOT_IP_FORWARD", "message": "Next hop instance 'gcp-1' cannot\nforward."}
	want := []any{"mesh-vpc: 10.0.0.0/16: the route to " + gcpRouter + " with priority 1000 carries nothing: NEXT_HOP_CANNOT_IP_FORWARD: Next hop instance 'gcp-1' cannot forward"}
	result := succeeds(t, f.router())
	assert.Equal(t, want, result["warnings"])
	assert.Equal(t, true, result["verified"])
	result = succeeds(t, f.router())
	assert.Equal(t, false, result["changed"])
	assert.Equal(t, want, result["warnings"])

	f = newGCP(t)
	f.ours("a", "10.0.0.0/16", 1000, gcpRouter)["routeStatus"] = "DROPPED"
	assert.Contains(t, succeeds(t, f.router())["warnings"].([]any)[0], "its status is DROPPED")
}

// What others do between our read and our write.
func TestGCPLostRace(t *testing.T) {
	t.Run("it is there already", func(t *testing.T) {
		f := newGCP(t)
		succeeds(t, f.router())
		made := f.without()
		for name := range made {
			delete(f.routes, name)
		}
		first := true
		f.onList = func() {
			if first {
				f.routes, first = made, false
			}
		}
		writes := len(f.writes)
		result := succeeds(t, f.router())
		assert.Equal(t, true, result["verified"])
		assert.Len(t, f.writes, writes)
		assert.Equal(t, []string{"1000 gcp-1"}, f.names("10.0.0.0/16"))
	})
	t.Run("what we delete is gone", func(t *testing.T) {
		f := newGCP(t)
		f.ours("a", "10.0.0.0/16", 1000, gcpRouter)
		f.onList = func() { delete(f.routes, "example.com:mesh/wgmesh-example-a") }
		assert.Equal(t, true, succeeds(t, f.router().and(absent))["verified"])
		assert.Empty(t, f.writes)
	})
	t.Run("somebody deletes what we made", func(t *testing.T) {
		f := newGCP(t)
		f.deletes = "10.0.0.0/16"
		msg, changed := fails(t, f.router().and(options{"timeout": 2}))
		assert.Equal(t, "mesh-vpc: 10.0.0.0/16: was set and does not read so: there is none; who else manages it?; still so when `timeout` was over", msg)
		assert.True(t, changed, "it was changed, by us")
		assert.Len(t, f.writes, 1, "it is not fought for")
	})
}

func TestGCPThrottling(t *testing.T) {
	f := newGCP(t)
	for range 10 {
		f.fault("GET "+gcpRoutes, 403, "rateLimitExceeded", "Rate Limit Exceeded")
		f.fault("POST "+gcpRoutes, 429, "rateLimitExceeded", "Rate Limit Exceeded")
	}
	assert.Equal(t, true, succeeds(t, f.router())["verified"])

	f = newGCP(t)
	f.fault("POST "+gcpRoutes, 429, "rateLimitExceeded", "Rate Limit Exceeded", "Retry-After", "60")
	msg, changed := fails(t, f.router().and(options{"timeout": 2}))
	assert.Equal(t, "mesh-vpc: 10.0.0.0/16: make the route: rateLimitExceeded: Rate Limit Exceeded (request req-gcp); still so when `timeout` was over", msg)
	assert.False(t, changed)
}

func TestGCPExpiredToken(t *testing.T) {
	f := newGCP(t)
	f.valid = 2
	assert.Equal(t, true, succeeds(t, f.router())["verified"])
	f.valid = f.token + 100
	msg, _ := fails(t, f.router())
	assert.Contains(t, msg, "example.com:mesh: list the routes: authError: Invalid Credentials (request req-gcp); Google does not accept the token")
}

func TestGCPMissingPermission(t *testing.T) {
	for where, permission := range map[string]string{"GET " + gcpRoutes: "compute.routes.list", "POST " + gcpRoutes: "compute.networks.updatePolicy"} {
		f := newGCP(t)
		f.fault(where, 403, "forbidden", "Required '"+permission+"' permission for 'projects/mesh/global/networks/mesh-vpc'")
		msg, changed := fails(t, f.router())
		assert.Contains(t, msg, "(request req-gcp); the permission "+permission+" is missing: allow it in a role of the account")
		assert.False(t, changed)
	}
	f := newGCP(t)
	f.scopes = ""
	msg, _ := fails(t, f.router())
	assert.Contains(t, msg, "the instance has no service account to act with")
}

func TestGCPFailsLate(t *testing.T) {
	f := newGCP(t)
	f.fails = "QUOTA_EXCEEDED"
	msg, changed := fails(t, f.router())
	assert.Regexp(t, `^mesh-vpc: 10.0.0.0/16: make the route: QUOTA_EXCEEDED: It went wrong \(request [0-9a-f-]{36}\)$`, msg)
	assert.True(t, changed)
	assert.Empty(t, f.names("10.0.0.0/16"))

	// The old one stays where the new one did not come.
	f.ours("before", "10.0.0.0/16", 1000, gcpRouter)
	_, _ = fails(t, f.router().and(options{"priority": 800}))
	assert.Equal(t, []string{"1000 gcp-1"}, f.names("10.0.0.0/16"))
}

func TestGCPVanishes(t *testing.T) {
	f := newGCP(t)
	msg, _ := fails(t, f.router().and(options{"tables": []string{"gone-vpc"}}))
	assert.Contains(t, msg, "gone-vpc: 10.0.0.0/16: make the route: notFound: The resource 'projects/example.com:mesh/global/networks/gone-vpc' was not found (request req-gcp); it is gone")
	f.faults["GET "+gcpRoutes] = slices.Repeat([]func(http.ResponseWriter){func(w http.ResponseWriter) { refuseGCP(w, 404, "notFound", "The resource 'projects/x' was not found") }}, 1)
	msg, _ = fails(t, f.router())
	assert.Contains(t, msg, "it is gone, or the project, zone or name is another")
}

func TestGCPRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		o   options
		msg string
	}{
		"a strange network": {options{"tables": []string{"a/b"}}, `tables: expected the name of a network, or projects/PROJECT/global/networks/NAME, got "a/b"`},
		"a strange via":     {options{"via": "gcp-1"}, `via: expected zones/ZONE/instances/NAME, with projects/PROJECT/ before it or with the option project, got "gcp-1"`},
		"region":            {options{"region": "x", "via": gcpRouter}, "region: goes with cloud: aws, got cloud: gcp"},
		"the real API":      {options{"api_endpoint": ""}, "compute.googleapis.com: a test reaches loopback only"},
		"no override":       {options{"metadata_endpoint": ""}, "metadata.google.internal: a test reaches loopback only"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newGCP(t)
			f.control(t) // its credentials, where a router is named
			msg, _ := fails(t, f.router().and(tt.o))
			assert.Contains(t, msg, tt.msg)
			assert.Empty(t, f.writes)
		})
	}
	result := runOn(t, dmi(map[string]string{"sys_vendor": "Google", "product_name": "Google Compute Engine"}), newGCP(t).router().and(options{"cloud": "auto"}))
	require.NotContains(t, result, "failed", "%v", result["msg"])
	assert.Equal(t, "gcp", result["cloud"])
}

// The network is another project's: a route there takes no instance of this one.
func TestGCPSharedVPC(t *testing.T) {
	f := newGCP(t)
	partner := f.ours("partner", "10.0.0.0/16", 1000, gcpPartner)
	delete(partner, "nextHopInstance")
	delete(f.routes, "example.com:mesh/wgmesh-example-partner")
	partner["network"], partner["nextHopIp"] = "https://www.googleapis.com/compute/v1/"+gcpShared, "10.7.0.3"
	f.routes["host-project/wgmesh-example-partner"] = partner
	before := f.without()
	o := f.router().and(options{"tables": []string{gcpShared}})
	result := succeeds(t, o)
	assert.Equal(t, []any{gcpShared + ": 10.0.0.0/16: goes to " + gcpRouter + " with priority 1000 now"}, result["done"])
	assert.Len(t, result["routes"], 2, "the partner's stands beside ours")
	var made map[string]any
	for name, r := range f.routes {
		if before[name] == nil {
			made = r
		}
	}
	require.NotNil(t, made)
	assert.Equal(t, "10.7.0.2", made["nextHopIp"])
	assert.NotContains(t, made, "nextHopInstance")
	unchanged(t, o)

	// Another priority: the route is known by its address.
	succeeds(t, o.and(options{"priority": 900}))
	assert.Len(t, f.routes, len(before)+1)
	unchanged(t, o.and(options{"priority": 900}))
	succeeds(t, o.and(options{"priority": 900}).and(absent))
	assert.Equal(t, before, f.routes)

	f.address = ""
	msg, changed := fails(t, o)
	assert.Contains(t, msg, "example.com:mesh/europe-west3-a/gcp-1 has no address of that family in this network")
	assert.False(t, changed)
}
