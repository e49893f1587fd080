package azure

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/fuzz"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
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
	o := Options{Interfaces: []string{"all"}, Pace: fuzz.Quick}
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
