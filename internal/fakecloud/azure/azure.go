// Package azure stands in for Azure's resource manager and the metadata service of one VM.
//
// It is built from Microsoft's published descriptions: azure-rest-api-specs (Microsoft.Network
// networkInterface and routeTable 2025-05-01, Microsoft.Compute, Microsoft.Resources tags), the
// resource provider contract's asynchronous operations (Azure-AsyncOperation, Retry-After), the
// instance metadata service and the managed identity endpoint. Requests and answers are held
// against what Microsoft generates of the first ones (package published). As Azure does, it takes
// If-Match and ignores the etag in a body, makes the resource what the body says, so that fields
// that are missing are gone, and is busy until an operation has ended.
package azure

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wgmesh/router/internal/fakecloud"
	"github.com/wgmesh/router/internal/fakecloud/published"
)

// What there is, by id. NICOther is another VM's.
const (
	subscription = "/subscriptions/00000000-0000-0000-0000-000000000001"
	Group        = subscription + "/resourceGroups/mesh/providers"
	VM           = Group + "/Microsoft.Compute/virtualMachines/router"
	NICA         = Group + "/Microsoft.Network/networkInterfaces/router-a"
	NICB         = Group + "/Microsoft.Network/networkInterfaces/router-b"
	NICOther     = Group + "/Microsoft.Network/networkInterfaces/other"
	Tables       = Group + "/Microsoft.Network/routeTables"
	Table        = Tables + "/nodes"
	Ours         = Table + "/routes/wgmesh-example-10-0-0-0-16"
	TagsOfNICA   = NICA + "/providers/Microsoft.Resources/tags/default"
	Operation    = subscription + "/providers/Microsoft.Network/locations/westeurope/operations/1"
)

// A Cloud is what the VM sees. Its fields may be set before it is asked, and by its hooks.
type Cloud struct {
	*httptest.Server
	fakecloud.Tokens // of the managed identity
	t                *testing.T

	mu       sync.Mutex
	ID       string // of the VM
	Attached []string
	NICs     map[string]map[string]any
	Routes   map[string]map[string]any // by id; the table is there while this is not nil
	State    string                    // provisioningState of the table
	Tags     map[string]string         // of NICA
	Faults   fakecloud.Faults
	ETag     int
	Polls    int    // of each operation, until it ends
	Fails    string // code of an operation's error
	Writes   []string
	NoID     bool
	Second   string             // an address of another interface, which the metadata service lists first
	Served   func(where string) // after an answer of the resource manager
	OnPoll   func()
	Environ  string
	Outside  string // its URL, where that is not its own
	Lose     fakecloud.Loss
	Audience string // that the last token was asked for

	left int    // polls of the operation
	undo func() // what a failed operation takes back
}

// Start makes a VM with two interfaces and a route table, for a test that has none of
// this machine's settings.
func Start(t *testing.T) *Cloud {
	c := &Cloud{
		t: t, ID: VM, Attached: []string{NICA, NICB}, State: "Succeeded", Polls: 2, Environ: "AzurePublicCloud",
		NICs: map[string]map[string]any{}, Routes: map[string]map[string]any{},
		Tags: map[string]string{"cost": "net"}, Faults: fakecloud.Faults{},
	}
	c.addNIC(NICA, VM)
	c.addNIC(NICB, strings.ToUpper(VM))
	c.addNIC(NICOther, VM+"2")
	c.Add("default", "0.0.0.0/0", "Internet", "")
	c.Add("by-hand", "10.9.0.0/16", "VirtualAppliance", "10.1.0.9")
	c.Add("tagged", "AzureCloud", "Internet", "")
	c.Add("wgmesh-lab-10-8-0-0-16", "10.8.0.0/16", "VirtualAppliance", "10.1.0.9")
	c.Server = httptest.NewServer(published.Azure().Guard(t, c.serve))
	c.Outside = c.URL
	t.Cleanup(c.Close)
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_AUTHORITY_HOST"} {
		t.Setenv(name, "")
	}
	return c
}

// Login makes the test one of somebody who has used az login.
func (c *Cloud) Login() {
	dir := c.t.TempDir()
	script := "#!/bin/sh\necho '{\"accessToken\": \"token-99\", \"expires_on\": 4102444800}'\n"
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c.t.Setenv("AZURE_TOKEN_CREDENTIALS", "AzureCLICredential")
}

// Fault is answered once to a method and path, such as "PUT "+NICA.
func (c *Cloud) Fault(where string, status int, code, message string, header ...string) {
	c.Faults[where] = append(c.Faults[where], func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, status, code, message, header...)
	})
}

func refuse(w http.ResponseWriter, status int, code, message string, header ...string) {
	w.Header().Set("x-ms-request-id", "req-4711")
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	fakecloud.Answer(w, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.HasPrefix(r.URL.Path, "/metadata/"):
		c.metadata(w, r)
	case len(c.Writes) > 0 && c.Lose.Reads && c.Lose.Times > 0:
		c.Lose.Take(w)
	case !c.Accept(r):
		refuse(w, 401, "ExpiredAuthenticationToken",
			"The access token expiry UTC time is earlier than current UTC time.")
	case c.Faults.Take(w, r):
	default:
		c.resource(w, r)
		if c.Served != nil {
			c.Served(r.Method + " " + r.URL.Path)
		}
	}
}

func (c *Cloud) resource(w http.ResponseWriter, r *http.Request) {
	_, nic := c.NICs[r.URL.Path]
	_, route := c.Routes[r.URL.Path]
	inTable := c.Routes != nil && strings.HasPrefix(r.URL.Path, Table+"/routes/")
	writes := r.Method == http.MethodPut || r.Method == http.MethodDelete
	switch where := r.Method + " " + r.URL.Path; {
	case where == "GET "+Operation:
		c.poll(w)
	case r.URL.Query().Get("api-version") == "":
		refuse(w, 400, "MissingApiVersionParameter", "")
	case writes && (nic || inTable) && c.left > 0:
		c.work()
		refuse(w, 429, "AnotherOperationInProgress",
			"Another operation on this or dependent resource is in progress.", "Retry-After", "0")
	case where == "GET "+c.ID:
		c.vm(w)
	case r.Method == http.MethodGet && nic:
		c.nic(w, r.URL.Path)
	case r.Method == http.MethodPut && nic:
		c.putNIC(w, r)
	case where == "GET "+TagsOfNICA:
		c.tags(w)
	case where == "PATCH "+TagsOfNICA:
		c.patchTags(w, r)
	case where == "GET "+Table && c.Routes != nil:
		c.table(w)
	case r.Method == http.MethodGet && route:
		fakecloud.Answer(w, c.route(r.URL.Path))
	case r.Method == http.MethodPut && inTable:
		c.putRoute(w, r, route)
	case r.Method == http.MethodDelete && route:
		c.removeRoute(w, r)
	case r.Method == http.MethodDelete && inTable:
		w.WriteHeader(204)
	default: // also a PUT of the table, which would write all routes
		refuse(w, 404, "ResourceNotFound", "The Resource '"+r.URL.Path+"' was not found.")
	}
}

// Tag is the etag of everything.
func (c *Cloud) Tag() string { return fmt.Sprintf(`W/"%d"`, c.ETag) }

func (c *Cloud) metadata(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Metadata") != "true" || r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(400)
	case c.Faults.Take(w, r):
	case r.URL.Path == "/metadata/instance":
		var interfaces []any
		for _, address := range []string{c.Second, "10.1.1.4"} {
			if address != "" {
				interfaces = append(interfaces, map[string]any{"macAddress": "000D3A", "ipv4": map[string]any{
					"ipAddress": []any{map[string]any{"privateIpAddress": address, "publicIpAddress": ""}},
					"subnet":    []any{},
				}})
			}
		}
		fakecloud.Answer(w, map[string]any{
			"compute": map[string]any{
				"resourceId": c.ID, "vmId": "0f47b100-583c", "azEnvironment": c.Environ, "vmScaleSetName": "",
			},
			"network": map[string]any{"interface": interfaces},
		})
	case r.URL.Path == "/metadata/identity/oauth2/token" && c.NoID:
		w.WriteHeader(400)
		fakecloud.Answer(w, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
	case r.URL.Path == "/metadata/identity/oauth2/token":
		c.Audience = r.URL.Query().Get("resource")
		fakecloud.Answer(w, map[string]any{"access_token": c.Next(), "expires_in": "86399", "token_type": "Bearer"})
	default:
		w.WriteHeader(404)
	}
}

func (c *Cloud) begin(w http.ResponseWriter, what string, undo func()) {
	c.ETag++
	c.Writes = append(c.Writes, what)
	c.left, c.undo = c.Polls, undo
	w.Header().Set("Azure-AsyncOperation", c.Outside+Operation+"?api-version=2025-05-01")
	w.Header().Set("x-ms-request-id", "req-write")
}

// work goes on with the operation, and reports whether it has ended.
func (c *Cloud) work() bool {
	if c.left--; c.left > 0 {
		return false
	}
	c.left, c.State = 0, "Succeeded"
	for _, all := range []map[string]map[string]any{c.NICs, c.Routes} {
		for _, r := range all {
			Properties(r)["provisioningState"] = "Succeeded"
		}
	}
	if c.Fails != "" && c.undo != nil {
		c.undo()
	}
	c.undo = nil
	return true
}

func (c *Cloud) poll(w http.ResponseWriter) {
	if c.OnPoll != nil {
		c.OnPoll()
	}
	switch {
	case !c.work():
		fakecloud.Answer(w, map[string]any{"status": "InProgress"})
	case c.Fails != "":
		w.Header().Set("x-ms-request-id", "req-op")
		fakecloud.Answer(w, map[string]any{
			"status": "Failed", "error": map[string]any{"code": c.Fails, "message": "It went wrong."},
		})
	default:
		fakecloud.Answer(w, map[string]any{"status": "Succeeded"})
	}
}

// Properties are those of a resource.
func Properties(resource map[string]any) map[string]any {
	return resource["properties"].(map[string]any)
}
