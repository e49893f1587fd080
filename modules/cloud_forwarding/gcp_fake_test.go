package cloudforwarding_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
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

// fakeGCP stands in for Compute Engine, its metadata service and the token
// endpoint. It is built from Google's published descriptions: the discovery
// document of compute/v1 (instances.get, instances.update, zoneOperations.wait,
// instances.testIamPermissions), with which requests and answers are checked
// (package published), "Update instance properties" and "VM metadata".
// As Google does, it wants the current fingerprint, and makes the instance what
// the body says: fields that are missing are gone.
type fakeGCP struct {
	*httptest.Server
	t *testing.T

	mu          sync.Mutex
	vm          map[string]any // without its fingerprint; nil when it is gone
	fingerprint int
	faults      map[string][]func(w http.ResponseWriter)
	scopes      string
	token       int
	valid       int
	waits       int    // of the operation, until it is done
	fails       string // code of the operation's error
	permissions []string
	requests    map[string]bool // ids of updates that were taken
	lose        loss            // answers that get lost, from the first write on
	universe    string          // "" where the metadata service does not say it
	inKey       map[string]string
	short       bool // tokens of a key are about to expire
	restart     bool // another field of the VM's would need a restart
	writes      []string
	served      func()
	onWait      func()
}

const (
	gcpPath     = "/compute/v1/projects/example.com:mesh/zones/europe-west3-a"
	gcpInstance = gcpPath + "/instances/gcp-1"
	gcpWait     = gcpPath + "/operations/operation-1/wait"
)

func newGCP(t *testing.T) *fakeGCP {
	f := &fakeGCP{t: t, faults: map[string][]func(http.ResponseWriter){}, requests: map[string]bool{}, scopes: "https://www.googleapis.com/auth/cloud-platform\n", waits: 2, permissions: []string{"compute.instances.update"}}
	f.vm = map[string]any{
		"kind": "compute#instance", "id": "12345678901234567890", "name": "gcp-1", "status": "RUNNING", "futureField": map[string]any{"deep": []any{true, "<&>"}},
		"networkInterfaces": []any{map[string]any{"name": "nic0", "futureInner": 1.5}, map[string]any{"name": "nic1"}},
	}
	f.Server = httptest.NewServer(published.GCP().Guard(t, f.serve))
	t.Cleanup(f.Close)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(f.URL, "http://"))
	t.Setenv("HOME", t.TempDir())
	return f
}

// router are the options on the router itself.
func (f *fakeGCP) router() options {
	return options{"cloud": "gcp", "api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20}
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

// control are the options on a control node with the key of a service account.
func (f *fakeGCP) control(t *testing.T) options {
	key, err := serviceKey()
	require.NoError(t, err)
	content := map[string]string{
		"type": "service_account", "client_email": "ansible@example", "private_key_id": "1", "token_uri": f.URL + "/token",
		"private_key": key,
	}
	maps.Copy(content, f.inKey)
	raw, err := json.Marshal(content)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	return options{"project": "example.com:mesh", "zone": "europe-west3-a", "name": "gcp-1", "api_endpoint": f.URL, "metadata_endpoint": f.URL, "timeout": 20}
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

func (f *fakeGCP) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/computeMetadata/v1/") {
		f.metadata(w, r)
		return
	}
	if r.URL.Path == "/token" {
		assert.Contains(f.t, []string{"urn:ietf:params:oauth:grant-type:jwt-bearer", "refresh_token"}, r.FormValue("grant_type"))
		w.Header().Set("Content-Type", "application/json")
		seconds := 3600
		if f.short {
			seconds = 5
		}
		answer(w, map[string]any{"access_token": "token-99", "token_type": "Bearer", "expires_in": seconds})
		return
	}
	if len(f.writes) > 0 {
		f.lose.take(w)
	}
	var token int
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer token-%d", &token); err != nil || token < f.valid {
		refuseGCP(w, 401, "authError", "Invalid Credentials")
		return
	}
	if f.busy(w, r) {
		return
	}
	where := r.Method + " " + r.URL.Path
	switch {
	case where == "POST "+gcpWait:
		if f.onWait != nil {
			f.onWait()
		}
		f.waits--
		f.operation(w)
	case !strings.HasPrefix(r.URL.Path, gcpInstance) || f.vm == nil:
		refuseGCP(w, 404, "notFound", "The resource '"+r.URL.Path+"' was not found")
	case where == "GET "+gcpInstance:
		body := maps.Clone(f.vm)
		body["fingerprint"] = f.print()
		answer(w, body)
		if f.served != nil {
			f.served()
		}
	case where == "PUT "+gcpInstance:
		f.put(w, r)
	case where == "POST "+gcpInstance+"/testIamPermissions":
		body := map[string]any{}
		if len(f.permissions) > 0 { // Google leaves empty lists out
			body["permissions"] = f.permissions
		}
		answer(w, body)
	default:
		refuseGCP(w, 404, "notFound", where)
	}
}

// busy answers with the next fault of a method and path, if there is one.
func (f *fakeGCP) busy(w http.ResponseWriter, r *http.Request) bool {
	where := r.Method + " " + r.URL.Path
	queue := f.faults[where]
	if len(queue) == 0 {
		return false
	}
	f.faults[where] = queue[1:]
	queue[0](w)
	return true
}

// print is the fingerprint, which is in base64.
func (f *fakeGCP) print() string { return fmt.Sprintf("fp%02d", f.fingerprint) }

func (f *fakeGCP) metadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Metadata-Flavor", "Google")
	if r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "" {
		w.WriteHeader(403)
		return
	}
	if f.busy(w, r) {
		return
	}
	switch strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/") {
	case "universe/universe-domain":
		if f.universe == "" {
			w.WriteHeader(404)
		}
		fmt.Fprint(w, f.universe)
	case "project/project-id":
		fmt.Fprint(w, "example.com:mesh")
	case "instance/name":
		fmt.Fprint(w, "gcp-1")
	case "instance/zone":
		fmt.Fprint(w, "projects/1234/zones/europe-west3-a")
	case "instance/service-accounts/default/scopes":
		if f.scopes == "" {
			w.WriteHeader(404)
			return
		}
		fmt.Fprint(w, f.scopes)
	case "instance/service-accounts/default/token":
		f.token++
		answer(w, map[string]any{"access_token": fmt.Sprintf("token-%d", f.token), "expires_in": 3599, "token_type": "Bearer"})
	default:
		w.WriteHeader(404)
	}
}

func (f *fakeGCP) put(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	assert.Equal(f.t, "REFRESH", q.Get("mostDisruptiveAllowedAction"))
	assert.Empty(f.t, q.Get("minimalAction"))
	assert.Regexp(f.t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, q.Get("requestId"))
	var body map[string]any
	assert.NoError(f.t, json.NewDecoder(r.Body).Decode(&body))
	if f.requests[q.Get("requestId")] { // the operation that it has started is still the answer
		f.operation(w)
		return
	}
	if body["fingerprint"] != f.print() {
		refuseGCP(w, 412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint.")
		return
	}
	if f.restart {
		refuseGCP(w, 400, "invalid", "Update of the instance requires RESTART, which is more disruptive than REFRESH.")
		return
	}
	delete(body, "fingerprint")
	f.vm = body
	f.fingerprint++
	f.writes = append(f.writes, fmt.Sprint(body["canIpForward"]))
	f.requests[q.Get("requestId")] = true
	f.lose.take(w)
	f.operation(w)
}

func (f *fakeGCP) operation(w http.ResponseWriter) {
	o := map[string]any{"kind": "compute#operation", "name": "operation-1", "status": "RUNNING"}
	if f.waits <= 0 {
		o["status"] = "DONE"
		if f.fails != "" {
			o["error"] = map[string]any{"errors": []any{map[string]any{"code": f.fails, "message": "It went wrong."}}}
		}
	}
	answer(w, o)
}
