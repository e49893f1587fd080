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
	"github.com/wgmesh/router/pkg/cloud/route"
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
		i, err := Connect(ctx, Options{Way: cloud.Way{API: url, Metadata: url, Pace: fuzz.Quick}})
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

// Whatever answers, what comes out is about the wanted prefixes, only what has
// our marks is taken for ours, and an error is on one line.
func FuzzRoutes(f *testing.F) {
	list := func(s string) []byte { return []byte(`{"items": [` + s + `]}`) }
	ours := `{"name": "wgmesh-m-1", "description": "wgmesh.router m", ` +
		`"network": "https://www.googleapis.com/compute/v1/projects/p/global/networks/n", ` +
		`"destRange": "10.0.0.0/16", "priority": 1000, "nextHopInstance": "https://x/projects/p/zones/z/instances/i"}`
	f.Add(list(ours), 200)
	f.Add(list(ours+
		`, {"name": "x\ny", "network": "projects/p/global/networks/n", "destRange": "10.0.0.0/16", `+
		`"nextHopPeering": "a\nb", "warnings": [{"code": "C", "message": "d\ne"}]}`), 200)
	f.Add(list(`{"destRange": "10.0.0.1/16"}, {"destRange": 1}, null`), 200)
	f.Add([]byte(`{"items": null, "nextPageToken": "x"}`), 200)
	f.Add([]byte(`{"name": "operation-1", "status": "DONE"}`), 200)
	f.Add([]byte(`{"name": "o", "status": "DONE",
		"error": {"errors": [{"code": "RESOURCE_ALREADY_EXISTS", "message": "a\nb"}]}}`), 200)
	f.Add([]byte(`{"error": {"code": 409, "errors": [{"reason": "alreadyExists"}]}}`), 409)
	answer := &fuzz.Always{}
	r := &Routes{router: &Instance{
		project: "p", zone: "z", name: "i", api: "http://a",
		rest: &cloud.REST{HTTP: &http.Client{Transport: answer}, Pace: fuzz.Quick, Base: "http://a", Explain: explain},
	}, project: "p"}
	want := route.Want{
		Mesh: "m", Tables: []string{"n"},
		Prefixes: must.Prefixes("10.0.0.0/16"), Via: r.Via(), Priority: 1000,
	}
	answer.Run(f, 5*time.Millisecond, func(ctx context.Context, t *testing.T) {
		n := &route.Route{Table: "n", Prefix: want.Prefixes[0], Via: want.Via, Name: "wgmesh-m-2"}
		for _, c := range []route.Change{{New: n}, {Old: n}} {
			_, err := r.Write(ctx, want, c)
			fuzz.Failed(t, err)
		}
		have, err := r.Observe(ctx, want)
		if fuzz.Failed(t, err) {
			return
		}
		fuzz.Wanted(t, want, have)
		for _, each := range have {
			if each.Foreign == "" {
				assert.Regexp(t, `^wgmesh-m-[a-z0-9.:-]*$`, each.Name, "a name that goes into a URL")
				assert.Contains(t, string(answer.Body), "m")
			}
		}
	})
}
