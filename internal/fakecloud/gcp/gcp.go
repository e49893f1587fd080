// Package gcp stands in for Compute Engine, the metadata service of one instance and
// Google's token endpoint.
//
// It is built from Google's published descriptions: the discovery document of compute/v1
// (instances.get, update and testIamPermissions; routes.list, insert and delete, no other methods;
// zoneOperations.wait and globalOperations.wait; schemas Route, RouteList, Operation), "Update
// instance properties", "Static routes", "About VM metadata" and "Set and query guest attributes".
// Requests and answers are held against that document (package published). As Google does, it wants
// the current fingerprint, makes the instance what the body says, so that fields that are missing
// are gone, answers before it has worked, lists in pages, and does one thing for one requestId.
package gcp

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
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/published"
	"github.com/wgmesh/router/internal/must"
)

// What there is. Partner is another instance, Shared a network of another project.
const (
	API     = "/compute/v1/"
	Project = "projects/example.com:mesh"
	Zone    = Project + "/zones/europe-west3-a"
	Router  = Zone + "/instances/gcp-1"
	Partner = Project + "/zones/europe-west3-b/instances/gcp-2"
	Network = Project + "/global/networks/mesh-vpc"
	Shared  = "projects/host-project/global/networks/shared-vpc"
	Routes  = API + Project + "/global/routes"
	Link    = "https://www.googleapis.com" + API // of a resource to another one
)

// A Cloud is what the instance sees. Its fields may be set before it is asked, and by its hooks.
type Cloud struct {
	*httptest.Server
	fakecloud.Tokens // of the instance's service account
	t                *testing.T

	mu          sync.Mutex
	VM          map[string]any // without its fingerprint; nil when it is gone
	Fingerprint int
	Routes      map[string]map[string]any // by project and name
	Guest       map[string]string         // guest attributes
	Faults      fakecloud.Faults
	Scopes      string
	Waits       int    // of each operation, until it is done
	Fails       string // code of the next operation's error
	Permissions []string
	Lose        fakecloud.Loss
	Universe    string            // "" where the metadata service does not say it
	InKey       map[string]string // more of what the key of a service account says
	Short       bool              // tokens of a key are about to expire
	Restart     bool              // another field of the VM's would need a restart
	Warning     map[string]any    // of routes that are made
	Deletes     string            // the prefix whose routes somebody deletes whenever they come
	Writes      []string
	OnRead      func() // after the instance was answered
	OnList      func() // after the last page of the routes was answered
	OnWait      func()

	operations map[string]*operation
	requests   map[string]string // operations by requestId
}

// Start makes an instance in a network with routes, for a test that has none of this
// machine's settings.
func Start(t *testing.T) *Cloud {
	c := &Cloud{
		t: t, Routes: map[string]map[string]any{}, Guest: map[string]string{}, Faults: fakecloud.Faults{}, Waits: 2,
		Scopes: "https://www.googleapis.com/auth/cloud-platform\n", Permissions: []string{"compute.instances.update"},
		operations: map[string]*operation{}, requests: map[string]string{},
	}
	c.VM = map[string]any{
		"kind": "compute#instance", "id": "12345678901234567890", "name": "gcp-1",
		"status": "RUNNING", "futureField": map[string]any{"deep": []any{true, "<&>"}},
		"networkInterfaces": []any{
			map[string]any{"name": "nic0", "network": Link + Network, "networkIP": "10.1.0.2", "futureInner": 1.5},
			map[string]any{"name": "nic1", "network": Link + Shared, "networkIP": "10.7.0.2"},
		},
	}
	c.Add("default-route-1", "", "0.0.0.0/0", 1000, "nextHopGateway",
		Project+"/global/gateways/default-internet-gateway")
	c.Add("default-route-2", "", "10.1.0.0/16", 0, "nextHopNetwork", Network)
	c.Add("by-hand", "of somebody", "10.9.0.0/16", 1000, "nextHopIp", "10.1.0.9")
	c.Add("wgmesh-lab-0123", "wgmesh.router lab", "10.8.0.0/16", 1000, "nextHopInstance", Partner)
	c.Server = httptest.NewServer(published.GCP().Guard(t, c.serve))
	t.Cleanup(c.Close)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(c.URL, "http://"))
	t.Setenv("HOME", t.TempDir())
	return c
}

// Fault is answered once to a method and path.
func (c *Cloud) Fault(where string, status int, reason, message string, header ...string) {
	c.Faults[where] = append(c.Faults[where], func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, status, reason, message, header...)
	})
}

func refuse(w http.ResponseWriter, status int, reason, message string, header ...string) {
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	fakecloud.Answer(w, map[string]any{"error": map[string]any{
		"code": status, "message": message,
		"errors":  []any{map[string]any{"reason": reason, "domain": "global", "message": message}},
		"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req-gcp"}},
	}})
}

var (
	routeURL = regexp.MustCompile(`^/compute/v1/projects/([^/]+)/global/routes(?:/([^/]+))?$`)
	waitURL  = regexp.MustCompile(`^/compute/v1/(projects/[^/]+/(?:global|zones/[^/]+))/operations/([^/]+)/wait$`)
)

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.HasPrefix(r.URL.Path, "/computeMetadata/v1/"):
		c.metadata(w, r)
	case r.URL.Path == "/token":
		c.token(w, r)
	case len(c.Writes) > 0 && c.Lose.Reads && c.Lose.Times > 0:
		c.Lose.Take(w)
	case !c.Accept(r):
		refuse(w, 401, "authError", "Invalid Credentials")
	case c.Faults.Take(w, r):
	default:
		c.resource(w, r)
	}
}

func (c *Cloud) resource(w http.ResponseWriter, r *http.Request) {
	wait, route := waitURL.FindStringSubmatch(r.URL.Path), routeURL.FindStringSubmatch(r.URL.Path)
	switch where := r.Method + " " + r.URL.Path; {
	case wait != nil && r.Method == http.MethodPost && c.operations[wait[2]] != nil &&
		c.operations[wait[2]].scope == wait[1]:
		c.wait(w, wait[2])
	case where == "GET "+API+Router && c.VM != nil:
		c.read(w)
	case where == "PUT "+API+Router && c.VM != nil:
		c.update(w, r)
	case where == "POST "+API+Router+"/testIamPermissions" && c.VM != nil:
		body := map[string]any{}
		if len(c.Permissions) > 0 { // Google leaves empty lists out
			body["permissions"] = c.Permissions
		}
		fakecloud.Answer(w, body)
	case route != nil && route[2] == "" && r.Method == http.MethodGet:
		c.list(w, r, route[1])
	case route != nil && route[2] == "" && r.Method == http.MethodPost:
		c.insert(w, r, route[1])
	case route != nil && r.Method == http.MethodDelete && c.Routes[route[1]+"/"+route[2]] != nil:
		c.begin(w, r, "projects/"+route[1]+"/global", "delete "+route[2], func() {
			delete(c.Routes, route[1]+"/"+route[2])
		})
	default: // there is no update and no patch of routes: they are immutable
		refuse(w, 404, "notFound", "The resource '"+strings.TrimPrefix(r.URL.Path, API)+"' was not found")
	}
}

func (c *Cloud) read(w http.ResponseWriter) {
	body := maps.Clone(c.VM)
	body["fingerprint"] = c.print()
	answer(w, body)
	if c.OnRead != nil {
		c.OnRead()
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	fakecloud.Answer(w, v)
}

// token is the endpoint that keys of service accounts and logins lead to.
func (c *Cloud) token(w http.ResponseWriter, r *http.Request) {
	assert.Contains(c.t, []string{"urn:ietf:params:oauth:grant-type:jwt-bearer", "refresh_token"},
		r.FormValue("grant_type"))
	seconds := 3600
	if c.Short {
		seconds = 5
	}
	answer(w, map[string]any{"access_token": "token-99", "token_type": "Bearer", "expires_in": seconds})
}

type operation struct {
	scope  string // "projects/P/global" or "projects/P/zones/Z"
	left   int
	failed string
	do     func()
}

// begin answers with an operation, the same one to the same request.
func (c *Cloud) begin(w http.ResponseWriter, r *http.Request, scope, what string, do func()) {
	id := r.URL.Query().Get("requestId")
	assert.Regexp(c.t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
	if c.requests[id] == "" {
		name := fmt.Sprint("operation-", len(c.operations)+1)
		c.requests[id] = name
		c.operations[name] = &operation{scope: scope, left: c.Waits, failed: c.Fails, do: do}
		c.Writes = append(c.Writes, what)
	}
	c.Lose.Take(w)
	answer(w, map[string]any{"kind": "compute#operation", "name": c.requests[id], "status": "PENDING"})
}

func (c *Cloud) wait(w http.ResponseWriter, name string) {
	if c.OnWait != nil {
		c.OnWait()
	}
	o := c.operations[name]
	out := map[string]any{"kind": "compute#operation", "name": name, "status": "RUNNING"}
	if o.left--; o.left <= 0 {
		out["status"] = "DONE"
		if o.failed != "" {
			out["error"] = map[string]any{
				"errors": []any{map[string]any{"code": o.failed, "message": "It went wrong."}},
			}
		} else if o.do != nil {
			o.do()
			o.do = nil
			maps.DeleteFunc(c.Routes, func(_ string, r map[string]any) bool { return r["destRange"] == c.Deletes })
		}
	}
	answer(w, out)
}

// print is the fingerprint, which is in base64.
func (c *Cloud) print() string { return fmt.Sprintf("fp%02d", c.Fingerprint) }

// update begins to make the instance what the body says.
func (c *Cloud) update(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	assert.Equal(c.t, "REFRESH", q.Get("mostDisruptiveAllowedAction"))
	assert.Empty(c.t, q.Get("minimalAction"))
	var body map[string]any
	assert.NoError(c.t, json.NewDecoder(r.Body).Decode(&body))
	again := c.requests[q.Get("requestId")] != "" // the operation that it has started is still the answer
	switch {
	case !again && body["fingerprint"] != c.print():
		refuse(w, 412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint.")
		return
	case c.Restart:
		refuse(w, 400, "invalid", "Update of the instance requires RESTART, which is more disruptive than REFRESH.")
		return
	}
	delete(body, "fingerprint")
	c.begin(w, r, Zone, fmt.Sprint("canIpForward ", body["canIpForward"]), func() {
		if c.VM != nil {
			c.VM = body
			c.Fingerprint++
		}
	})
}

func (c *Cloud) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	if r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "" {
		w.WriteHeader(403)
		return
	}
	if c.Faults.Take(w, r) {
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	guest, isGuest := strings.CutPrefix(path, "instance/guest-attributes/")
	text := map[string]string{
		"project/project-id": "example.com:mesh", "instance/id": "4711", "instance/name": "gcp-1",
		"instance/zone": "projects/1234/zones/europe-west3-a",
		"instance/service-accounts/default/scopes": c.Scopes, "universe/universe-domain": c.Universe,
	}[path]
	switch {
	case isGuest && r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		c.Guest[guest] = string(body)
		c.Writes = append(c.Writes, "guest attribute "+guest)
	case isGuest && c.Guest[guest] != "":
		fmt.Fprint(w, c.Guest[guest])
	case text != "":
		fmt.Fprint(w, text)
	case path == "instance/service-accounts/default/token":
		fakecloud.Answer(w, map[string]any{"access_token": c.Next(), "expires_in": 3599, "token_type": "Bearer"})
	default:
		w.WriteHeader(404)
	}
}

// serviceKey is one for all tests, since to make one takes long.
var serviceKey = sync.OnceValues(func() (string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), err
})

// Login gives the test the key of a service account.
func (c *Cloud) Login() {
	key := must.Get(serviceKey())(c.t)
	content := map[string]string{
		"type": "service_account", "client_email": "ansible@example", "private_key_id": "1",
		"token_uri": c.URL + "/token", "private_key": key,
	}
	maps.Copy(content, c.InKey)
	raw := must.Get(json.Marshal(content))(c.t)
	file := filepath.Join(c.t.TempDir(), "key.json")
	require.NoError(c.t, os.WriteFile(file, raw, 0o600))
	c.t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
}
