// Package fuzz is what the fuzz tests of the clouds' clients have in common.
package fuzz

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// Quick is the pace of a client that waits for nothing.
var Quick = cloud.Pace{First: time.Microsecond, Most: time.Microsecond}

// Always gives one answer to every request.
type Always struct {
	Status  int
	Body    []byte
	Headers func(http.Header, *http.Request)
}

// ServeHTTP makes it a server.
func (a *Always) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.Headers != nil {
		a.Headers(w.Header(), r)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// RoundTrip makes it a transport that needs no network, which makes fuzzing quick.
func (a *Always) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Result(), nil
}

// Server is the address of a server that gives the answer.
func (a *Always) Server(f *testing.F) string {
	s := httptest.NewServer(a)
	f.Cleanup(s.Close)
	return s.URL
}

// Run has do look at any answer. What is busy is waited for, until the context ends.
func (a *Always) Run(f *testing.F, most time.Duration, do func(ctx context.Context, t *testing.T)) {
	f.Fuzz(func(t *testing.T, answer []byte, code int) {
		if code < 200 || code > 599 || code == 429 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		a.Body, a.Status = answer, code
		do(ctx, t)
	})
}

// Failed reports whether there is an error, which must be on one line.
func Failed(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		assert.NotContains(t, err.Error(), "\n")
	}
	return err != nil
}

// Same compares JSON objects but for some fields.
func Same(t *testing.T, want, have map[string]json.RawMessage, but ...string) {
	t.Helper()
	for _, name := range but {
		delete(want, name)
	}
	for name, value := range want {
		assert.Equal(t, compact(t, value), compact(t, have[name]), name)
	}
}

// compact is a JSON value in the one way in which json.Marshal writes it.
func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	out := must.Get(json.Marshal(raw))(t)
	return string(out)
}

// Wanted checks that routes are about the wanted prefixes, and their words one line.
func Wanted(t *testing.T, want route.Want, have []route.Route) {
	t.Helper()
	for _, r := range have {
		assert.True(t, want.Covers(r), "%v", r)
		assert.NotContains(t, r.Via+r.Name+r.Foreign+r.Trouble, "\n")
	}
}
