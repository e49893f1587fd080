package azure

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/cloud"

	"github.com/wgmesh/router/internal/fakecloud"
)

var quick = cloud.Pace{First: time.Microsecond, Most: time.Microsecond}

// What is a network interface keeps all of it but for the one field.
func FuzzNIC(f *testing.F) {
	f.Add([]byte(
		`{"etag": "W/\"1\"", "new": [1e400, "<&>"], "properties": {"enableIPForwarding": false, "provisioningState": "Succeeded", "x": {"y": 12345678901234567890}}}`))
	f.Add([]byte(`{"etag": "1", "properties": {}}`))
	f.Add([]byte(`{"etag": 1, "properties": null}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := parseNIC("x", cloud.Answer{Body: raw})
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		body, err := n.with(true)
		require.NoError(t, err)
		again, err := parseNIC("x", cloud.Answer{Body: body})
		require.NoError(t, err, "%s", body)
		assert.JSONEq(t, "true", string(again.properties["enableIPForwarding"]))
		for name, value := range n.properties {
			if name != "enableIPForwarding" {
				assert.Equal(t, compact(t, value), compact(t, again.properties[name]), name)
			}
		}
		for name, value := range n.whole {
			if name != "properties" {
				assert.Equal(t, compact(t, value), compact(t, again.whole[name]), name)
			}
		}
	})
}

// compact is a JSON value in the one way in which json.Marshal writes it.
func compact(t *testing.T, raw json.RawMessage) string {
	out, err := json.Marshal(raw)
	require.NoError(t, err)
	return string(out)
}

// Whatever answers, the module ends with an error on one line or with interfaces
// that were asked for.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(
		`{"compute": {"resourceId": "/subscriptions/1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v", "azEnvironment": "x"}}`), 200)
	f.Add([]byte(`{"error": {"code": "AuthorizationFailed", "message": "action 'Microsoft.X/y'"}}`), 403)
	f.Add([]byte(
		`{"properties": {"networkProfile": {"networkInterfaces": [{"id": "/subscriptions/x"}]}}, "access_token": "t"}`),
		200)
	f.Add([]byte(`{"error": "invalid_request"}`), 400)
	var body []byte
	var status int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, answer []byte, code int) {
		if code < 200 || code > 599 || code == 429 {
			return
		}
		// a throttle is waited out, also one that has another status
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		body, status = answer, code
		o := Options{Interfaces: []string{"all"}, API: s.URL, Metadata: s.URL, Pace: quick}
		v, err := Connect(ctx, o)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			v = &VM{id: "/vm", words: o.Interfaces, api: s.URL, rest: &cloud.REST{
				HTTP: cloud.Client("", fakecloud.Loopback), Pace: quick, Base: s.URL, Explain: explain,
			}}
		}
		if _, err = v.Observe(ctx); err != nil {
			assert.NotContains(t, err.Error(), "\n")
		}
	})
}
