package azure

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// What is a route keeps all of it but for where it goes.
func FuzzRoute(f *testing.F) {
	f.Add([]byte(
		`{"etag": "W/\"1\"", "new": [1e400, "<&>"], "properties": {"addressPrefix": "10.0.0.0/16", "nextHopType": "None", "x": {"y": 12345678901234567890}}}`))
	f.Add([]byte(`{"etag": "1", "properties": {"nextHopIpAddress": "10.0.0.4"}}`))
	f.Add([]byte(`{"etag": 1, "properties": null}`))
	f.Add([]byte(`<html>`))
	want := route.Route{Prefix: netip.MustParsePrefix("10.0.0.0/16"), Via: "10.1.0.4"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parseRoute("x", cloud.Answer{Body: raw})
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		assert.NotContains(t, p.via(), "\n")
		body, err := p.with(want)
		require.NoError(t, err)
		again, err := parseRoute("x", cloud.Answer{Body: body})
		require.NoError(t, err, "%s", body)
		assert.Equal(t, "10.1.0.4", again.via())
		for name, value := range p.properties {
			if name != "addressPrefix" && name != "nextHopType" && name != "nextHopIpAddress" {
				assert.Equal(t, compact(t, value), compact(t, again.properties[name]), name)
			}
		}
		for name, value := range p.whole {
			if name != "properties" {
				assert.Equal(t, compact(t, value), compact(t, again.whole[name]), name)
			}
		}
	})
}

// answering is a transport that needs no network, which makes fuzzing quick.
type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }

// Whatever answers, what comes out is about the wanted prefixes, and an error is
// on one line.
func FuzzRouteTable(f *testing.F) {
	f.Add([]byte(
		`{"properties": {"provisioningState": "Succeeded", "routes": [{"name": "wgmesh-m-10-0-0-0-16", "properties": {"addressPrefix": "10.0.0.0/16", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.0.4"}}]}}`), 200)
	f.Add([]byte(
		`{"properties": {"provisioningState": "Failed", "routes": [{"name": "a\nb", "properties": {"addressPrefix": "10.0.0.0/16", "nextHopType": "c\nd"}}, null, {"properties": {"addressPrefix": "AzureCloud"}}]}}`), 200)
	f.Add([]byte(`{"properties": {"provisioningState": "a\nb"}}`), 200)
	f.Add([]byte(`{"etag": "1", "status": "Failed", "properties": {"addressPrefix": "x"}}`), 200)
	f.Add([]byte(`{"error": {"code": "AuthorizationFailed", "message": "action 'Microsoft.X/y'"}}`), 403)
	f.Add([]byte(`null`), 404)
	var body []byte
	var status int
	client := &http.Client{Transport: answering(func(r *http.Request) *http.Response {
		a := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
		if r.Method != http.MethodGet {
			a.Header.Set("Azure-AsyncOperation", "http://a/operation")
		}
		return a
	})}
	const table = "/subscriptions/1/resourceGroups/g/providers/Microsoft.Network/routeTables/t"
	r := &Routes{"10.1.0.4", &cloud.REST{HTTP: client, Pace: quick, Base: "http://a", Explain: explain}}
	want := route.Want{
		Mesh: "m", Tables: []string{table},
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Via: r.Via(),
	}
	f.Fuzz(func(t *testing.T, answer []byte, code int) {
		if code < 200 || code > 599 || code == 429 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond) // what is busy is waited for
		defer cancel()
		body, status = answer, code
		one := &route.Route{Table: table, Prefix: want.Prefixes[0], Via: want.Via, Name: "wgmesh-m-10-0-0-0-16"}
		for _, c := range []route.Change{{New: one}, {Old: one, New: one}, {Old: one}} {
			if _, err := r.Write(ctx, want, c); err != nil {
				assert.NotContains(t, err.Error(), "\n")
			}
		}
		have, err := r.Observe(ctx, want)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		for _, each := range have {
			assert.True(t, want.Covers(each), "%v", each)
			assert.NotContains(t, each.Via+each.Name+each.Foreign+each.Trouble, "\n")
		}
	})
}
