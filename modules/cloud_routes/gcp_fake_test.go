package cloudroutes_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/published"
)

// fakeGCP stands in for the routes of Compute Engine, its metadata service and
// the token endpoint. It is built from Google's published descriptions: the
// discovery document of compute/v1 (routes.list, insert and delete, no other
// methods; globalOperations.wait; schemas Route, RouteList, Operation), "Static
// routes" and "VM metadata". Requests and answers are held against
// that document (package published). As Google does, it answers before it has worked,
// lists in pages, and does one thing for one requestId.
type fakeGCP struct {
	*httptest.Server
	t *testing.T

	mu         sync.Mutex
	routes     map[string]map[string]any // by project and name
	faults     map[string][]func(w http.ResponseWriter)
	scopes     string
	token      int
	valid      int
	operations map[string]*operation
	requests   map[string]string // operations by requestId
	waits      int               // of each operation, until it is done
	lose       int               // answers to writes
	fails      string            // code of the next operation's error
	address    string            // of the router in the network of another project
	warning    map[string]any    // of routes that are made
	writes     []string
	deletes    string // the prefix whose routes somebody deletes whenever they come
	onList     func() // after it was answered
}

type operation struct {
	left   int
	failed string
	do     func()
}

const (
	gcpRouter  = "projects/example.com:mesh/zones/europe-west3-a/instances/gcp-1"
	gcpPartner = "projects/example.com:mesh/zones/europe-west3-b/instances/gcp-2"
	gcpNetwork = "projects/example.com:mesh/global/networks/mesh-vpc"
	gcpShared  = "projects/host-project/global/networks/shared-vpc"
	gcpRoutes  = "/compute/v1/projects/example.com:mesh/global/routes"
)

func newGCP(t *testing.T) *fakeGCP {
	f := &fakeGCP{
		t: t, routes: map[string]map[string]any{}, faults: map[string][]func(http.ResponseWriter){}, waits: 2, address: "10.7.0.2",
		scopes: "https://www.googleapis.com/auth/cloud-platform\n", operations: map[string]*operation{}, requests: map[string]string{},
	}
	f.add("default-route-1", "", "0.0.0.0/0", 1000, "nextHopGateway", "projects/example.com:mesh/global/gateways/default-internet-gateway")
	f.add("default-route-2", "", "10.1.0.0/16", 0, "nextHopNetwork", gcpNetwork)
	f.add("by-hand", "of somebody", "10.9.0.0/16", 1000, "nextHopIp", "10.1.0.9")
	f.add("wgmesh-lab-0123", "wgmesh.router lab", "10.8.0.0/16", 1000, "nextHopInstance", gcpPartner)
	f.Server = httptest.NewServer(published.GCP().Guard(t, f.serve))
	t.Cleanup(f.Close)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(f.URL, "http://"))
	t.Setenv("HOME", t.TempDir())
	return f
}

// add puts a route of the network in, as somebody has made it.
func (f *fakeGCP) add(name, description, prefix string, priority int, hop, target string) map[string]any {
	r := map[string]any{
		"kind": "compute#route", "name": name, "description": description, "network": "https://www.googleapis.com/compute/v1/" + gcpNetwork,
		"destRange": prefix, "priority": priority, "routeStatus": "ACTIVE", "futureField": []any{name}, hop: target,
	}
	if strings.HasPrefix(target, "projects/") {
		r[hop] = "https://www.googleapis.com/compute/v1/" + target
	}
	f.routes["example.com:mesh/"+name] = r
	return r
}

// ours puts a route of the mesh in.
func (f *fakeGCP) ours(name, prefix string, priority int, instance string) map[string]any {
	return f.add("wgmesh-example-"+name, "wgmesh.router example", prefix, priority, "nextHopInstance", instance)
}

// without is a copy of all routes without those of one prefix.
func (f *fakeGCP) without(prefixes ...string) map[string]map[string]any {
	out := map[string]map[string]any{}
	for name, r := range f.routes {
		if !slices.Contains(prefixes, r["destRange"].(string)) {
			out[name] = maps.Clone(r)
		}
	}
	return out
}

// names lists the routes for a prefix as "priority instance".
func (f *fakeGCP) names(prefix string) []string {
	var out []string
	for _, r := range f.routes {
		if r["destRange"] == prefix {
			out = append(out, fmt.Sprint(r["priority"], " ", filepath.Base(r["nextHopInstance"].(string))))
		}
	}
	slices.Sort(out)
	return out
}

// router are the options on the router itself.
func (f *fakeGCP) router() options {
	return options{
		"cloud": "gcp", "mesh": "example", "tables": []string{"mesh-vpc"}, "prefixes": []string{"10.0.0.0/16"},
		"api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 120,
	}
}

// control are the options on a control node with the key of a service account.
func (f *fakeGCP) control(t *testing.T) options {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	raw, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "ansible@example", "private_key_id": "1", "token_uri": f.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	return f.router().and(options{"cloud": "auto", "project": "example.com:mesh", "via": "zones/europe-west3-b/instances/gcp-2"})
}

// fault is answered once to a method and path.
func (f *fakeGCP) fault(where string, status int, reason, message string, header ...string) {
	f.faults[where] = append(f.faults[where], func(w http.ResponseWriter) { refuseGCP(w, status, reason, message, header...) })
}

func refuseGCP(w http.ResponseWriter, status int, reason, message string, header ...string) {
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	answer(w, map[string]any{"error": map[string]any{
		"code": status, "message": message, "errors": []any{map[string]any{"reason": reason, "domain": "global", "message": message}},
		"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req-gcp"}},
	}})
}

func answer(w io.Writer, v any) { _ = json.NewEncoder(w).Encode(v) }

var (
	gcpURL  = regexp.MustCompile(`^/compute/v1/projects/([^/]+)/global/(routes|operations)(?:/([^/]+)(/wait)?)?$`)
	gcpName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	uuid    = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

func (f *fakeGCP) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/computeMetadata/v1/") {
		f.metadata(w, r)
		return
	}
	if r.URL.Path == "/token" {
		answerJSON(w, map[string]any{"access_token": "token-99", "token_type": "Bearer", "expires_in": 3600})
		return
	}
	var token int
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer token-%d", &token); err != nil || token < f.valid {
		refuseGCP(w, 401, "authError", "Invalid Credentials")
		return
	}
	for where := range f.faults { // "DELETE /x" is for all below it
		if queue := f.faults[where]; len(queue) > 0 && strings.HasPrefix(r.Method+" "+r.URL.Path, where) {
			f.faults[where] = queue[1:]
			queue[0](w)
			return
		}
	}
	if r.Method == http.MethodGet && r.URL.Path == "/compute/v1/"+gcpRouter {
		const api = "https://www.googleapis.com/compute/v1/"
		answerJSON(w, map[string]any{"kind": "compute#instance", "name": "gcp-1", "fingerprint": "AAAA", "canIpForward": true, "networkInterfaces": []any{
			map[string]any{"name": "nic0", "network": api + gcpNetwork, "networkIP": "10.1.0.2"},
			map[string]any{"name": "nic1", "network": api + gcpShared, "networkIP": f.address},
		}})
		return
	}
	at := gcpURL.FindStringSubmatch(r.URL.Path)
	switch {
	case at == nil:
		refuseGCP(w, 404, "notFound", "Not Found")
	case at[2] == "operations" && at[4] != "" && r.Method == http.MethodPost && f.operations[at[3]] != nil:
		f.wait(w, at[3])
	case at[2] == "routes" && at[3] == "" && r.Method == http.MethodGet:
		f.list(w, r, at[1])
	case at[2] == "routes" && at[3] == "" && r.Method == http.MethodPost:
		f.insert(w, r, at[1])
	case at[2] == "routes" && at[3] != "" && r.Method == http.MethodDelete && f.routes[at[1]+"/"+at[3]] != nil:
		f.begin(w, r, "delete "+at[3], func() { delete(f.routes, at[1]+"/"+at[3]) })
	default: // there is no update and no patch: routes are immutable
		refuseGCP(w, 404, "notFound", "The resource '"+strings.TrimPrefix(r.URL.Path, "/compute/v1/")+"' was not found")
	}
}

// list answers two routes at a time.
func (f *fakeGCP) list(w http.ResponseWriter, r *http.Request, project string) {
	all := []any{}
	for _, key := range slices.Sorted(maps.Keys(f.routes)) {
		if strings.HasPrefix(key, project+"/") {
			all = append(all, f.routes[key])
		}
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	page := map[string]any{"kind": "compute#routeList", "items": all[min(from, len(all)):min(from+2, len(all))]}
	if from+2 < len(all) {
		page["nextPageToken"] = strconv.Itoa(from + 2)
	}
	answer(w, page)
	if from+2 >= len(all) && f.onList != nil {
		f.onList()
	}
}

func (f *fakeGCP) insert(w http.ResponseWriter, r *http.Request, project string) {
	var body map[string]any
	assert.NoError(f.t, json.NewDecoder(r.Body).Decode(&body))
	for field := range body {
		assert.Contains(f.t, []string{"name", "description", "network", "destRange", "priority", "nextHopInstance", "nextHopIp"}, field)
	}
	name, _ := body["name"].(string)
	key := project + "/" + name
	_, there := f.routes[key]
	switch {
	case f.requests[r.URL.Query().Get("requestId")] == "" && there:
		refuseGCP(w, 409, "alreadyExists", "The resource 'projects/"+project+"/global/routes/"+name+"' already exists")
		return
	case !gcpName.MatchString(name):
		refuseGCP(w, 400, "invalid", "Invalid value for field 'resource.name': '"+name+"'.")
		return
	case body["nextHopInstance"] != nil && !strings.HasPrefix(body["nextHopInstance"].(string), "projects/"+project+"/"):
		refuseGCP(w, 400, "invalid", fmt.Sprintf("Invalid value for field 'resource.nextHopInstance': '%s'. Cross project referencing is not allowed for this resource.", body["nextHopInstance"]))
		return
	case body["network"] != gcpNetwork && body["network"] != gcpShared:
		refuseGCP(w, 404, "notFound", fmt.Sprintf("The resource '%s' was not found", body["network"]))
		return
	}
	for _, link := range []string{"network", "nextHopInstance"} {
		if body[link] != nil {
			body[link] = "https://www.googleapis.com/compute/v1/" + body[link].(string)
		}
	}
	body["routeStatus"] = "ACTIVE"
	if f.warning != nil {
		body["warnings"] = []any{f.warning}
	}
	f.begin(w, r, fmt.Sprint("insert ", body["destRange"], " ", body["priority"]), func() { f.routes[key] = body })
}

// begin answers with an operation, the same one to the same request.
func (f *fakeGCP) begin(w http.ResponseWriter, r *http.Request, what string, do func()) {
	id := r.URL.Query().Get("requestId")
	assert.Regexp(f.t, uuid, id)
	if f.requests[id] == "" {
		name := fmt.Sprint("operation-", len(f.operations)+1)
		f.requests[id] = name
		f.operations[name] = &operation{left: f.waits, failed: f.fails, do: do}
		f.writes = append(f.writes, what)
	}
	if f.lose--; f.lose >= 0 {
		panic(http.ErrAbortHandler)
	}
	answer(w, map[string]any{"kind": "compute#operation", "name": f.requests[id], "status": "PENDING"})
}

func (f *fakeGCP) wait(w http.ResponseWriter, name string) {
	o := f.operations[name]
	out := map[string]any{"kind": "compute#operation", "name": name, "status": "RUNNING"}
	if o.left--; o.left <= 0 {
		out["status"] = "DONE"
		if o.failed != "" {
			out["error"] = map[string]any{"errors": []any{map[string]any{"code": o.failed, "message": "It went wrong."}}}
		} else if o.do != nil {
			o.do()
			o.do = nil
			maps.DeleteFunc(f.routes, func(_ string, r map[string]any) bool { return r["destRange"] == f.deletes })
		}
	}
	answer(w, out)
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	answer(w, v)
}

func (f *fakeGCP) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	if r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "" {
		w.WriteHeader(403)
		return
	}
	text, found := map[string]string{
		"project/project-id": "example.com:mesh", "instance/name": "gcp-1", "instance/zone": "projects/1234/zones/europe-west3-a",
		"instance/service-accounts/default/scopes": f.scopes,
	}[strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")]
	switch {
	case found && text != "":
		fmt.Fprint(w, text)
	case strings.HasSuffix(r.URL.Path, "/service-accounts/default/token"):
		f.token++
		answer(w, map[string]any{"access_token": fmt.Sprintf("token-%d", f.token), "expires_in": 3599, "token_type": "Bearer"})
	default:
		w.WriteHeader(404)
	}
}
