package gcp

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

// What is an instance keeps all of it but for the one field.
func FuzzInstance(f *testing.F) {
	f.Add([]byte(
		`{"fingerprint": "a=", "id": "1", "new": [1e400, "<&>", 12345678901234567890], "canIpForward": false}`))
	f.Add([]byte(`{"fingerprint": "a="}`))
	f.Add([]byte(`{"fingerprint": 1, "canIpForward": "yes"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parseView("x", cloud.Answer{Body: raw})
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		body, err := v.with(!v.forwarding)
		require.NoError(t, err)
		again, err := parseView("x", cloud.Answer{Body: body})
		require.NoError(t, err, "%s", body)
		assert.Equal(t, !v.forwarding, again.forwarding)
		for name, value := range v.whole {
			if name != "canIpForward" {
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

// Whatever answers, there is an error on one line or a result, and an operation
// that is none is never waited for.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"name": "operation-1", "status": "DONE"}`), 200)
	f.Add([]byte(`{"name": "../x", "status": "RUNNING"}`), 200)
	f.Add([]byte(`{"name": "o", "status": "DONE", "error": {"errors": [{"code": "X", "message": "a\nb"}]}}`), 200)
	f.Add([]byte(
		`{"error": {"code": 403, "errors": [{"reason": "forbidden"}], "details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}`), 403)
	f.Add([]byte(`projects/1/zones/europe-west3-a`), 200)
	var body []byte
	var status int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, answer []byte, code int) {
		if code < 200 || code > 599 || code == 429 {
			return
		}
		// a throttle is waited out, also one that has another status
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		body, status = answer, code
		o := Options{API: s.URL, Metadata: s.URL, Pace: quick}
		i, err := Connect(ctx, o)
		if err != nil {
			assert.NotContains(t, err.Error(), "\x1b")
			i = &Instance{project: "p", zone: "z", name: "n", api: s.URL, rest: &cloud.REST{
				HTTP: cloud.Client("", fakecloud.Loopback), Pace: quick, Base: s.URL, Explain: explain,
			}}
		}
		for _, err := range []error{
			func() error { _, err := i.Observe(ctx); return err }(),
			i.Rehearse(ctx, "n", true),
			i.wait(ctx, "x", cloud.Answer{Body: answer}),
		} {
			if err != nil {
				assert.NotContains(t, err.Error(), "\n")
			}
		}
	})
}
