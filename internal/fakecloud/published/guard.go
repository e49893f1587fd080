package published

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// A Reporter is told what is wrong. A test is one, which then fails.
type Reporter interface {
	Errorf(format string, args ...any)
}

// Guard puts the description before a stand-in. A request that the vendor would
// not take is refused with 400, in the vendor's words, and fails the test; so
// does an answer of the stand-in's that the vendor would not give.
func (d *Description) Guard(t Reporter, standIn http.HandlerFunc) http.Handler {
	return &guard{api: d, t: t, standIn: standIn, served: map[string]any{}}
}

type guard struct {
	api     *Description
	t       Reporter
	standIn http.HandlerFunc

	mu     sync.Mutex
	served map[string]any // the last answer to a GET, by path
}

// ServeHTTP checks, asks the stand-in, and checks again.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.api.Has(r) {
		g.standIn(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.mu.Lock()
	served := g.served[r.URL.Path]
	g.mu.Unlock()
	if wrong := g.api.Request(r, body, served); len(wrong) > 0 {
		g.t.Errorf("%s refuses %s %s: %s", g.api.Vendor, r.Method, r.URL, strings.Join(wrong, "; "))
		g.api.refuse(w, wrong[0])
		return
	}
	answer := httptest.NewRecorder()
	g.standIn(answer, r)
	if wrong := g.api.Answer(r, answer.Code, answer.Body.Bytes()); len(wrong) > 0 {
		g.t.Errorf("%s would not answer this to %s %s: %s", g.api.Vendor, r.Method, r.URL, strings.Join(wrong, "; "))
	}
	if v, err := decode(answer.Body.Bytes()); err == nil && r.Method == http.MethodGet && answer.Code == http.StatusOK {
		g.mu.Lock()
		g.served[r.URL.Path] = v
		g.mu.Unlock()
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// refuse answers as the vendor does.
func (d *Description) refuse(w http.ResponseWriter, wrong string) {
	var e map[string]any
	switch {
	case d.Vendor == "gcp":
		message := "Invalid JSON payload received. " + wrong
		e = map[string]any{
			"code": 400, "message": message, "status": "INVALID_ARGUMENT",
			"errors": []any{map[string]any{"message": message, "domain": "global", "reason": "badRequest"}},
		}
	case strings.Contains(wrong, "api-version is missing"):
		e = map[string]any{
			"code":    "MissingApiVersionParameter",
			"message": "The api-version query parameter (?api-version=) is required for all requests.",
		}
	default:
		e = map[string]any{"code": "InvalidRequestFormat", "message": "Cannot parse the request: " + wrong}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": e})
}
