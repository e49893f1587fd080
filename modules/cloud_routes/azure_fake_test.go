package cloudroutes_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

const (
	azureTables = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/mesh/providers/Microsoft.Network/routeTables"
	azureTable  = azureTables + "/nodes"
	azureOurs   = azureTable + "/routes/wgmesh-example-10-0-0-0-16"
)

// fakeAzure stands in for route tables of the resource manager and the metadata
// service of one VM. It is built from Microsoft's published descriptions:
// azure-rest-api-specs (Microsoft.Network routeTable 2025-05-01, routes as a
// sub-resource), the resource provider contract's asynchronous operations
// (Azure-AsyncOperation, Retry-After), the instance metadata service and the
// managed identity endpoint. Requests and answers are held against what armnetwork
// was made from (package published). As Azure does, it takes If-Match with an etag that
// every write to the table changes, makes the route what the body says, fields
// that are missing are gone, and is busy until the operation has ended.
type fakeAzure struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	routes   map[string]map[string]any // by id; the table is there while this is not nil
	state    string                    // provisioningState of the table
	faults   map[string][]func(w http.ResponseWriter)
	etag     int
	token    int // of the managed identity
	valid    int // the oldest that is accepted
	polls    int // of each operation, until it ends
	left     int
	lose     int // answers to writes
	fails    string
	undo     func() // what a failed operation takes back
	writes   []string
	noID     bool
	served   func(where string) // after an answer
	environ  string
	audience string // that the last token was asked for
}

func newAzure(t *testing.T) *fakeAzure {
	f := &fakeAzure{t: t, routes: map[string]map[string]any{}, faults: map[string][]func(http.ResponseWriter){}, state: "Succeeded", polls: 2, environ: "AzurePublicCloud"}
	f.add("default", "0.0.0.0/0", "Internet", "")
	f.add("by-hand", "10.9.0.0/16", "VirtualAppliance", "10.1.0.9")
	f.add("tagged", "AzureCloud", "Internet", "")
	f.add("wgmesh-lab-10-8-0-0-16", "10.8.0.0/16", "VirtualAppliance", "10.1.0.9")
	f.Server = httptest.NewServer(published.Azure().Guard(t, f.serve))
	t.Cleanup(f.Close)
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"} {
		t.Setenv(name, "")
	}
	return f
}

// add puts a route into the table, as somebody has made it.
func (f *fakeAzure) add(name, prefix, hop, address string) map[string]any {
	properties := map[string]any{"addressPrefix": prefix, "nextHopType": hop, "provisioningState": "Succeeded", "futureField": map[string]any{"Deep": []any{"<b>&", 1.5, nil}}}
	if address != "" {
		properties["nextHopIpAddress"] = address
	}
	r := map[string]any{"id": azureTable + "/routes/" + name, "name": name, "type": "Microsoft.Network/routeTables/routes", "futureTop": true, "properties": properties}
	f.routes[azureTable+"/routes/"+name] = r
	return properties
}

// without is a copy of all routes without one.
func (f *fakeAzure) without(ids ...string) map[string]map[string]any {
	out := map[string]map[string]any{}
	for id, r := range f.routes {
		if !slices.Contains(ids, id) {
			out[id] = r
		}
	}
	raw, err := json.Marshal(out)
	require.NoError(f.t, err)
	out = map[string]map[string]any{}
	require.NoError(f.t, json.Unmarshal(raw, &out))
	return out
}

// router are the options on the router itself.
func (f *fakeAzure) router() options {
	return options{
		"cloud": "azure", "mesh": "example", "tables": []string{azureTable}, "prefixes": []string{"10.0.0.0/16"},
		"api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 120,
	}
}

// control are the options on a control node where somebody has used az login.
func (f *fakeAzure) control(t *testing.T) options {
	dir := t.TempDir()
	script := "#!/bin/sh\necho '{\"accessToken\": \"token-99\", \"expires_on\": 4102444800}'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "AzureCLICredential")
	return f.router().and(options{"cloud": "auto", "via": "10.1.0.4"})
}

// fault is answered once to a method and path, such as "PUT "+azureOurs.
func (f *fakeAzure) fault(where string, status int, code, message string, header ...string) {
	f.faults[where] = append(f.faults[where], func(w http.ResponseWriter) { refuseAzure(w, status, code, message, header...) })
}

func refuseAzure(w http.ResponseWriter, status int, code, message string, header ...string) {
	w.Header().Set("x-ms-request-id", "req-4711")
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	answer(w, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func (f *fakeAzure) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/metadata/") {
		f.metadata(w, r)
		return
	}
	var token int
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer token-%d", &token); err != nil || token < f.valid {
		refuseAzure(w, 401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
		return
	}
	where := r.Method + " " + r.URL.Path
	if queue := f.faults[where]; len(queue) > 0 {
		f.faults[where] = queue[1:]
		queue[0](w)
		return
	}
	_, known := f.routes[r.URL.Path]
	ours := f.routes != nil && strings.HasPrefix(r.URL.Path, azureTable+"/routes/")
	switch {
	case where == "GET /operations/1":
		f.poll(w)
	case r.URL.Query().Get("api-version") == "":
		refuseAzure(w, 400, "MissingApiVersionParameter", "")
	case where == "GET "+azureTable && f.routes != nil:
		f.table(w)
	case r.Method == http.MethodGet && known:
		answer(w, f.tagged(r.URL.Path))
	case (r.Method == http.MethodPut || r.Method == http.MethodDelete) && ours && f.left > 0:
		f.work()
		refuseAzure(w, 429, "AnotherOperationInProgress", "Another operation on this or dependent resource is in progress.", "Retry-After", "0")
	case r.Method == http.MethodPut && ours:
		f.put(w, r, known)
	case r.Method == http.MethodDelete && known:
		f.remove(w, r)
	case r.Method == http.MethodDelete && ours:
		w.WriteHeader(204)
	default: // also a PUT of the table, which would write all routes
		refuseAzure(w, 404, "ResourceNotFound", "The Resource '"+r.URL.Path+"' was not found.")
	}
	if f.served != nil {
		f.served(where)
	}
}

func (f *fakeAzure) tag() string { return fmt.Sprintf(`W/"%d"`, f.etag) }

// tagged is a route as it is shown: with the etag of the table.
func (f *fakeAzure) tagged(id string) map[string]any {
	out := maps.Clone(f.routes[id])
	out["etag"] = f.tag()
	return out
}

func (f *fakeAzure) table(w http.ResponseWriter) {
	if f.left > 0 { // it goes on, whether somebody asks for the operation or not
		f.work()
	}
	routes := []any{}
	for _, id := range slices.Sorted(maps.Keys(f.routes)) {
		routes = append(routes, f.tagged(id))
	}
	answer(w, map[string]any{
		"id": azureTable, "name": "nodes", "location": "westeurope", "etag": f.tag(), "tags": map[string]any{"a": "b"},
		"properties": map[string]any{"provisioningState": f.state, "disableBgpRoutePropagation": false, "routes": routes, "subnets": []any{}},
	})
}

func (f *fakeAzure) put(w http.ResponseWriter, r *http.Request, known bool) {
	if tag := r.Header.Get("If-Match"); known != (tag != "") || tag != "" && tag != f.tag() {
		refuseAzure(w, 412, "PreconditionFailed", "Precondition failed.")
		return
	}
	var body map[string]any
	assert.NoError(f.t, json.NewDecoder(r.Body).Decode(&body))
	delete(body, "etag")
	properties := body["properties"].(map[string]any)
	for _, field := range []string{"addressPrefix", "nextHopType", "nextHopIpAddress"} {
		assert.NotEmpty(f.t, properties[field], field)
	}
	name := filepath.Base(r.URL.Path)
	body["id"], body["name"], body["type"] = r.URL.Path, name, "Microsoft.Network/routeTables/routes"
	properties["provisioningState"] = "Updating"
	before := f.routes[r.URL.Path]
	f.begin(w, "PUT "+name, func() {
		if before == nil {
			delete(f.routes, r.URL.Path)
		} else {
			f.routes[r.URL.Path] = before
		}
	})
	f.routes[r.URL.Path] = body
	f.loseOne()
	w.WriteHeader(map[bool]int{true: 200, false: 201}[known])
	answer(w, f.tagged(r.URL.Path))
}

func (f *fakeAzure) remove(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("If-Match") != f.tag() {
		refuseAzure(w, 412, "PreconditionFailed", "Precondition failed.")
		return
	}
	before := f.routes[r.URL.Path]
	f.begin(w, "DELETE "+filepath.Base(r.URL.Path), func() { f.routes[r.URL.Path] = before })
	delete(f.routes, r.URL.Path)
	f.loseOne()
	w.WriteHeader(202)
}

// loseOne drops the connection in place of an answer.
func (f *fakeAzure) loseOne() {
	if f.lose--; f.lose >= 0 {
		panic(http.ErrAbortHandler)
	}
}

// begin begins an operation.
func (f *fakeAzure) begin(w http.ResponseWriter, what string, undo func()) {
	f.etag++
	f.writes = append(f.writes, what)
	f.state, f.left, f.undo = "Updating", f.polls, undo
	w.Header().Set("Azure-AsyncOperation", f.URL+"/operations/1?api-version=2025-05-01")
	w.Header().Set("x-ms-request-id", "req-write")
}

// work goes on with the operation, and reports whether it has ended.
func (f *fakeAzure) work() bool {
	if f.left--; f.left > 0 {
		return false
	}
	f.left, f.state = 0, "Succeeded"
	if f.fails != "" && f.undo != nil {
		f.undo()
	}
	f.undo = nil
	for _, r := range f.routes {
		r["properties"].(map[string]any)["provisioningState"] = "Succeeded"
	}
	return true
}

func (f *fakeAzure) poll(w http.ResponseWriter) {
	if !f.work() {
		answer(w, map[string]any{"status": "InProgress"})
		return
	}
	if f.fails != "" {
		w.Header().Set("x-ms-request-id", "req-op")
		answer(w, map[string]any{"status": "Failed", "error": map[string]any{"code": f.fails, "message": "It went wrong."}})
		return
	}
	answer(w, map[string]any{"status": "Succeeded"})
}

func (f *fakeAzure) metadata(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Metadata") != "true" || r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(400)
	case r.URL.Path == "/metadata/instance":
		answer(w, map[string]any{
			"compute": map[string]any{"resourceId": "/subscriptions/1/x", "azEnvironment": f.environ},
			"network": map[string]any{"interface": []any{map[string]any{"macAddress": "000D3A", "ipv4": map[string]any{
				"ipAddress": []any{map[string]any{"privateIpAddress": "10.1.1.4", "publicIpAddress": ""}}, "subnet": []any{},
			}}}},
		})
	case r.URL.Path == "/metadata/identity/oauth2/token" && f.noID:
		w.WriteHeader(400)
		answer(w, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
	case r.URL.Path == "/metadata/identity/oauth2/token":
		f.audience = r.URL.Query().Get("resource")
		f.token++
		answer(w, map[string]any{"access_token": fmt.Sprintf("token-%d", f.token), "expires_in": "86399", "token_type": "Bearer"})
	default:
		w.WriteHeader(404)
	}
}
