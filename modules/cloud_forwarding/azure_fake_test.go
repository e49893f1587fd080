package cloudforwarding_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

const (
	group    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/mesh/providers"
	azureVM  = group + "/Microsoft.Compute/virtualMachines/router"
	nicA     = group + "/Microsoft.Network/networkInterfaces/router-a"
	nicB     = group + "/Microsoft.Network/networkInterfaces/router-b"
	nicOther = group + "/Microsoft.Network/networkInterfaces/other"

	azureOperation = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Network/locations/westeurope/operations/1"
)

// fakeAzure stands in for the resource manager and the metadata service of one
// VM. It is built from Microsoft's published descriptions: azure-rest-api-specs
// (Microsoft.Network networkInterface 2025-05-01, Microsoft.Compute), the
// resource provider contract's asynchronous operations (Azure-AsyncOperation,
// Retry-After), the instance metadata service and the managed identity endpoint.
// Requests and answers are checked with what Microsoft generates of the first two
// (package published). As Azure does, it takes If-Match, ignores the etag in a body, and makes the
// resource what the body says: fields that are missing are gone.
type fakeAzure struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	vmID    string
	nics    map[string]map[string]any
	faults  map[string][]func(w http.ResponseWriter) // by method and path, in order
	etag    int
	token   int // of the managed identity
	valid   int // the oldest that is accepted
	polls   int // until an operation ends
	fails   string
	writes  []string
	noID    bool
	onRead  func(id string) // before the answer
	served  func(id string) // after it
	onPoll  func()
	environ string
	outside string // its URL, where that is not its own
	lose    loss   // answers that get lost, from the first write on

	audience string // that the last token was asked for
}

func newAzure(t *testing.T) *fakeAzure {
	f := &fakeAzure{
		t: t, vmID: azureVM, nics: map[string]map[string]any{}, faults: map[string][]func(http.ResponseWriter){}, polls: 2, environ: "AzurePublicCloud",
	}
	for id, owner := range map[string]string{nicA: azureVM, nicB: strings.ToUpper(azureVM), nicOther: azureVM + "2"} {
		f.nics[id] = map[string]any{
			"id": id, "name": filepath.Base(id), "location": "westeurope", "tags": map[string]any{"a": "<b>&"}, "futureTop": []any{1.5, nil},
			"properties": map[string]any{
				"provisioningState": "Succeeded", "enableIPForwarding": false, "futureField": map[string]any{"Deep": 12345678901234567.0},
				"ipConfigurations": []any{map[string]any{"name": "ipconfig1", "properties": map[string]any{"publicIPAddress": map[string]any{"id": "/x"}, "futureInner": true}}},
				"virtualMachine":   map[string]any{"id": owner},
			},
		}
	}
	f.Server = httptest.NewServer(published.Azure().Guard(t, f.serve))
	f.outside = f.URL
	t.Cleanup(f.Close)
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"} {
		t.Setenv(name, "")
	}
	return f
}

// router are the options on the router itself.
func (f *fakeAzure) router() options {
	return options{"cloud": "azure", "api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20}
}

// control are the options on a control node where somebody has used az login.
func (f *fakeAzure) control(t *testing.T) options {
	dir := t.TempDir()
	script := "#!/bin/sh\necho '{\"accessToken\": \"token-99\", \"expires_on\": 4102444800}'\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "AzureCLICredential")
	return options{"resource_id": azureVM, "api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20}
}

func (f *fakeAzure) forwarding(id string) bool {
	return f.nics[id]["properties"].(map[string]any)["enableIPForwarding"].(bool)
}

// fault is answered once to a method and path, such as "PUT "+nicA.
func (f *fakeAzure) fault(where string, status int, code, message string, header ...string) {
	f.faults[where] = append(f.faults[where], func(w http.ResponseWriter) { refuse(w, status, code, message, header...) })
}

func refuse(w http.ResponseWriter, status int, code, message string, header ...string) {
	w.Header().Set("x-ms-request-id", "req-4711")
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	answer(w, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func answer(w io.Writer, v any) { _ = json.NewEncoder(w).Encode(v) }

// A loss is how often the connection is cut in place of an answer, or in the
// middle of it.
type loss struct {
	times  int
	middle bool
}

func (l *loss) take(w http.ResponseWriter) {
	if l.times == 0 {
		return
	}
	l.times--
	if l.middle {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"id`)
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

func (f *fakeAzure) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/metadata/") {
		f.metadata(w, r)
		return
	}
	if len(f.writes) > 0 {
		f.lose.take(w)
	}
	var token int
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer token-%d", &token); err != nil || token < f.valid {
		refuse(w, 401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
		return
	}
	if f.busy(w, r) {
		return
	}
	where := r.Method + " " + r.URL.Path
	_, known := f.nics[r.URL.Path]
	switch {
	case where == "GET "+azureOperation:
		f.poll(w)
	case where == "GET "+f.vmID:
		answer(w, map[string]any{"id": f.vmID, "location": "westeurope", "properties": map[string]any{"networkProfile": map[string]any{"networkInterfaces": []any{
			map[string]any{"id": nicA, "properties": map[string]any{"primary": true}}, map[string]any{"id": nicB, "properties": map[string]any{"primary": false}},
		}}}})
	case r.Method == http.MethodGet && known:
		if f.onRead != nil {
			f.onRead(r.URL.Path)
		}
		body := maps.Clone(f.nics[r.URL.Path])
		body["etag"] = f.tag()
		answer(w, body)
		if f.served != nil {
			f.served(r.URL.Path)
		}
	case r.Method == http.MethodPut && known:
		f.put(w, r)
	default:
		refuse(w, 404, "ResourceNotFound", "The Resource '"+r.URL.Path+"' was not found.")
	}
}

// busy answers with the next fault of a method and path, if there is one.
func (f *fakeAzure) busy(w http.ResponseWriter, r *http.Request) bool {
	where := r.Method + " " + r.URL.Path
	queue := f.faults[where]
	if len(queue) == 0 {
		return false
	}
	f.faults[where] = queue[1:]
	queue[0](w)
	return true
}

func (f *fakeAzure) tag() string { return fmt.Sprintf(`W/"%d"`, f.etag) }

func (f *fakeAzure) metadata(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Metadata") != "true" || r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(400)
	case f.busy(w, r):
	case r.URL.Path == "/metadata/instance":
		answer(w, map[string]any{"compute": map[string]any{"resourceId": f.vmID, "azEnvironment": f.environ, "vmScaleSetName": ""}})
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

func (f *fakeAzure) put(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("If-Match") != f.tag() {
		refuse(w, 412, "PreconditionFailed", "Precondition failed.")
		return
	}
	var body map[string]any
	assert.NoError(f.t, json.NewDecoder(r.Body).Decode(&body))
	delete(body, "etag")
	body["properties"].(map[string]any)["provisioningState"] = "Updating"
	f.nics[r.URL.Path] = body
	f.etag++
	f.writes = append(f.writes, filepath.Base(r.URL.Path))
	if f.lose.times > 0 {
		f.settle("Succeeded") // nobody is there to ask for the operation
	}
	f.lose.take(w)
	w.Header().Set("Azure-AsyncOperation", f.outside+azureOperation+"?api-version=2025-05-01")
	w.Header().Set("x-ms-request-id", "req-put")
	answer(w, body)
}

func (f *fakeAzure) poll(w http.ResponseWriter) {
	if f.onPoll != nil {
		f.onPoll()
	}
	switch {
	case f.polls > 0:
		f.polls--
		answer(w, map[string]any{"status": "InProgress"})
	case f.fails != "":
		f.settle("Failed")
		w.Header().Set("x-ms-request-id", "req-op")
		answer(w, map[string]any{"status": "Failed", "error": map[string]any{"code": f.fails, "message": "It went wrong."}})
	default:
		f.settle("Succeeded")
		answer(w, map[string]any{"status": "Succeeded"})
	}
}

// settle ends what was going on.
func (f *fakeAzure) settle(state string) {
	for _, n := range f.nics {
		n["properties"].(map[string]any)["provisioningState"] = state
	}
}
