package azure

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/fuzz"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// What is a network interface keeps all of it but for the one field.
func FuzzNIC(f *testing.F) {
	f.Add([]byte(
		`{"etag": "W/\"1\"", "new": [1e400, "<&>"], "properties": {"enableIPForwarding": false, ` +
			`"provisioningState": "Succeeded", "x": {"y": 12345678901234567890}}}`))
	f.Add([]byte(`{"etag": "1", "properties": {}}`))
	f.Add([]byte(`{"etag": 1, "properties": null}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := parseNIC("x", cloud.Answer{Body: raw})
		if fuzz.Failed(t, err) {
			return
		}
		body := must.Get(n.with(true))(t)
		again := must.Get(parseNIC("x", cloud.Answer{Body: body}))(t, "%s", body)
		assert.JSONEq(t, "true", string(again.properties["enableIPForwarding"]))
		fuzz.Same(t, n.properties, again.properties, "enableIPForwarding")
		fuzz.Same(t, n.whole, again.whole, "properties")
	})
}

// Whatever answers, the module ends with an error on one line or with interfaces
// that were asked for.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"compute": {
		"resourceId": "/subscriptions/1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v",
		"azEnvironment": "x"}}`), 200)
	f.Add([]byte(`{"error": {"code": "AuthorizationFailed", "message": "action 'Microsoft.X/y'"}}`), 403)
	f.Add([]byte(
		`{"properties": {"networkProfile": {"networkInterfaces": [{"id": "/subscriptions/x"}]}}, "access_token": "t"}`),
		200)
	f.Add([]byte(`{"error": "invalid_request"}`), 400)
	answer := &fuzz.Always{}
	o := Options{Interfaces: []string{"all"}, Way: cloud.Way{Pace: fuzz.Quick}}
	o.API = answer.Server(f)
	o.Metadata = o.API
	answer.Run(f, time.Second, func(ctx context.Context, t *testing.T) {
		v, err := Connect(ctx, o)
		if fuzz.Failed(t, err) {
			v = &VM{id: "/vm", words: o.Interfaces, api: o.API, rest: &cloud.REST{
				HTTP: cloud.Client("", fakecloud.Loopback), Pace: fuzz.Quick, Base: o.API, Explain: explain,
			}}
		}
		_, err = v.Observe(ctx)
		fuzz.Failed(t, err)
	})
}

// What is a route keeps all of it but for where it goes.
func FuzzRoute(f *testing.F) {
	f.Add([]byte(
		`{"etag": "W/\"1\"", "new": [1e400, "<&>"], ` +
			`"properties": {"addressPrefix": "10.0.0.0/16", "nextHopType": "None", "x": {"y": 12345678901234567890}}}`))
	f.Add([]byte(`{"etag": "1", "properties": {"nextHopIpAddress": "10.0.0.4"}}`))
	f.Add([]byte(`{"etag": 1, "properties": null}`))
	f.Add([]byte(`<html>`))
	want := route.Route{Prefix: netip.MustParsePrefix("10.0.0.0/16"), Via: "10.1.0.4"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parseRoute("x", cloud.Answer{Body: raw})
		if fuzz.Failed(t, err) {
			return
		}
		assert.NotContains(t, p.via(), "\n")
		body := must.Get(p.with(want))(t)
		again := must.Get(parseRoute("x", cloud.Answer{Body: body}))(t, "%s", body)
		assert.Equal(t, "10.1.0.4", again.via())
		fuzz.Same(t, p.properties, again.properties, "addressPrefix", "nextHopType", "nextHopIpAddress")
		fuzz.Same(t, p.whole, again.whole, "properties")
	})
}

// Whatever answers, what comes out is about the wanted prefixes, and an error is on one line.
func FuzzRouteTable(f *testing.F) {
	f.Add([]byte(
		`{"properties": {"provisioningState": "Succeeded", "routes": [{"name": "wgmesh-m-10-0-0-0-16", `+
			`"properties": {"addressPrefix": "10.0.0.0/16", "nextHopType": "VirtualAppliance", `+
			`"nextHopIpAddress": "10.1.0.4"}}]}}`), 200)
	f.Add([]byte(
		`{"properties": {"provisioningState": "Failed", "routes": [{"name": "a\nb", `+
			`"properties": {"addressPrefix": "10.0.0.0/16", "nextHopType": "c\nd"}}, null, `+
			`{"properties": {"addressPrefix": "AzureCloud"}}]}}`), 200)
	f.Add([]byte(`{"properties": {"provisioningState": "a\nb"}}`), 200)
	f.Add([]byte(`{"etag": "1", "status": "Failed", "properties": {"addressPrefix": "x"}}`), 200)
	f.Add([]byte(`{"error": {"code": "AuthorizationFailed", "message": "action 'Microsoft.X/y'"}}`), 403)
	f.Add([]byte(`null`), 404)
	answer := &fuzz.Always{Headers: func(h http.Header, r *http.Request) {
		if r.Method != http.MethodGet {
			h.Set("Azure-AsyncOperation", "http://a/operation")
		}
	}}
	client := &http.Client{Transport: answer}
	const table = "/subscriptions/1/resourceGroups/g/providers/Microsoft.Network/routeTables/t"
	r := &Routes{"10.1.0.4", &cloud.REST{HTTP: client, Pace: fuzz.Quick, Base: "http://a", Explain: explain}}
	want := route.Want{
		Mesh: "m", Tables: []string{table},
		Prefixes: must.Prefixes("10.0.0.0/16"), Via: r.Via(),
	}
	answer.Run(f, 5*time.Millisecond, func(ctx context.Context, t *testing.T) {
		one := &route.Route{Table: table, Prefix: want.Prefixes[0], Via: want.Via, Name: "wgmesh-m-10-0-0-0-16"}
		for _, c := range []route.Change{{New: one}, {Old: one, New: one}, {Old: one}} {
			_, err := r.Write(ctx, want, c)
			fuzz.Failed(t, err)
		}
		have, err := r.Observe(ctx, want)
		fuzz.Failed(t, err)
		fuzz.Wanted(t, want, have)
	})
}
