package gcp

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/fuzz"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
)

// What is an instance keeps all of it but for the one field.
func FuzzInstance(f *testing.F) {
	f.Add([]byte(
		`{"fingerprint": "a=", "id": "1", "new": [1e400, "<&>", 12345678901234567890], "canIpForward": false}`))
	f.Add([]byte(`{"fingerprint": "a="}`))
	f.Add([]byte(`{"fingerprint": 1, "canIpForward": "yes"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parseView("x", cloud.Answer{Body: raw})
		if fuzz.Failed(t, err) {
			return
		}
		body := must.Get(v.with(!v.forwarding))(t)
		again := must.Get(parseView("x", cloud.Answer{Body: body}))(t, "%s", body)
		assert.Equal(t, !v.forwarding, again.forwarding)
		fuzz.Same(t, v.whole, again.whole, "canIpForward")
	})
}

// Whatever answers, there is an error on one line or a result, and an operation
// that is none is never waited for.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"name": "operation-1", "status": "DONE"}`), 200)
	f.Add([]byte(`{"name": "../x", "status": "RUNNING"}`), 200)
	f.Add([]byte(`{"name": "o", "status": "DONE", "error": {"errors": [{"code": "X", "message": "a\nb"}]}}`), 200)
	f.Add([]byte(
		`{"error": {"code": 403, "errors": [{"reason": "forbidden"}], `+
			`"details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT"}]}}`), 403)
	f.Add([]byte(`projects/1/zones/europe-west3-a`), 200)
	answer := &fuzz.Always{Headers: func(h http.Header, _ *http.Request) { h.Set("Metadata-Flavor", "Google") }}
	url := answer.Server(f)
	answer.Run(f, 200*time.Millisecond, func(ctx context.Context, t *testing.T) {
		i, err := Connect(ctx, Options{API: url, Metadata: url, Pace: fuzz.Quick})
		if err != nil {
			assert.NotContains(t, err.Error(), "\x1b")
			i = &Instance{project: "p", zone: "z", name: "n", api: url, rest: &cloud.REST{
				HTTP: cloud.Client("", fakecloud.Loopback), Pace: fuzz.Quick, Base: url, Explain: explain,
			}}
		}
		_, err = i.Observe(ctx)
		fuzz.Failed(t, err)
		fuzz.Failed(t, i.Rehearse(ctx, "n", true))
		fuzz.Failed(t, i.wait(ctx, "x", cloud.Answer{Body: answer.Body}))
	})
}
