// Package published checks what a stand-in for a cloud is asked and what it
// answers against what the vendor publishes about the API: paths, parameters,
// fields, types, what is read-only and what is required.
//
// The descriptions are extracts, made by `make published`: gcp.json of Google's
// discovery document, azure.json of the code that Microsoft generates from its
// azure-rest-api-specs. Both have the form of a discovery document.
package published

import (
	"bytes"
	_ "embed" // the extracts
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
)

// A Description is the part of an API that we use.
type Description struct {
	Vendor     string             `json:"vendor"`
	Sources    []Source           `json:"sources"`
	Base       string             `json:"base"`                 // what the paths begin with
	Parameters map[string]*Schema `json:"parameters,omitempty"` // of every method
	Methods    map[string]*Method `json:"methods"`
	Schemas    map[string]*Schema `json:"schemas"`
	Errors     *Schema            `json:"errors,omitempty"` // answers that are not a success
}

// A Source is where a description was taken from.
type Source struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	Note    string `json:"note"`
	Licence string `json:"licence"`
}

// A Method is one call.
type Method struct {
	HTTPMethod string             `json:"httpMethod"`
	Path       string             `json:"path"`
	Parameters map[string]*Schema `json:"parameters,omitempty"`
	Request    *Schema            `json:"request,omitempty"`
	Response   *Schema            `json:"response,omitempty"`
	Statuses   []int              `json:"statuses,omitempty"` // of success; 200 when there are none

	path *regexp.Regexp
}

// A Schema is what a value or a parameter may be.
type Schema struct {
	Ref                  string             `json:"$ref,omitempty"`
	Type                 string             `json:"type,omitempty"`
	Format               string             `json:"format,omitempty"`
	Location             string             `json:"location,omitempty"` // of a parameter: path or query
	Required             bool               `json:"required,omitempty"`
	ReadOnly             bool               `json:"readOnly,omitempty"`
	Repeated             bool               `json:"repeated,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Pattern              string             `json:"pattern,omitempty"`
	Items                *Schema            `json:"items,omitempty"`
	Properties           map[string]*Schema `json:"properties,omitempty"`
	AdditionalProperties *Schema            `json:"additionalProperties,omitempty"`
	Annotations          *Annotations       `json:"annotations,omitempty"`
}

// Annotations name the methods whose requests need the field.
type Annotations struct {
	Required []string `json:"required,omitempty"`
}

var (
	//go:embed azure.json
	azure []byte
	//go:embed gcp.json
	gcp []byte
)

// Azure is Azure's resource manager: virtual machines, network interfaces, route
// tables, asynchronous operations, tags.
var Azure = sync.OnceValue(func() *Description { return parse(azure) })

// GCP is Compute Engine: instances, routes, operations.
var GCP = sync.OnceValue(func() *Description { return parse(gcp) })

// parse reads an extract. One that cannot be read is not an accident of a run: the
// package's own tests find it.
func parse(raw []byte) *Description {
	d := &Description{}
	if err := json.Unmarshal(raw, d); err != nil {
		panic(err)
	}
	flags := ""
	if d.Vendor == "azure" { // whose ids have no case
		flags = "(?i)"
	}
	for _, m := range d.Methods {
		m.path = regexp.MustCompile(flags + "^" + variable.ReplaceAllStringFunc(regexp.QuoteMeta(m.Path), group) + "$")
	}
	return d
}

// variable is one in a path, after QuoteMeta.
var variable = regexp.MustCompile(`\\\{(\w+)\\\}`)

// group is the part of a path's expression that takes a variable. A scope is the path
// of another resource.
func group(text string) string {
	name := variable.FindStringSubmatch(text)[1]
	if name == "scope" {
		return "(?P<scope>.+)"
	}
	return "(?P<" + name + ">[^/]+)"
}

// find returns the method that a request calls and the variables of its path.
func (d *Description) find(r *http.Request) (id string, m *Method, variables map[string]string) {
	for id, m := range d.Methods {
		values := m.path.FindStringSubmatch(r.URL.Path)
		if m.HTTPMethod != r.Method || values == nil {
			continue
		}
		variables := map[string]string{}
		for i, name := range m.path.SubexpNames()[1:] {
			variables[name] = values[i+1]
		}
		return id, m, variables
	}
	return "", nil, nil
}

// Has reports whether a request is one to the API at all, and none to a metadata
// service or for a token.
func (d *Description) Has(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, d.Base) }

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
