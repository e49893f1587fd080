package join_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wgmesh/router/internal/must"
)

// An awx answers provisioning callbacks as AWX does. It was written from AWX's
// published source: JobTemplateCallback.post in awx/api/views/__init__.py and
// JobTemplateCallbackPermission in awx/api/permissions.py. No AWX runs here.
type awx struct {
	key string
	// The effective host names (ansible_host, else the name) of the job template's
	// inventory, which is nil when it has none.
	hosts map[string]string
	// Set when the job template asks for something at launch.
	prompts bool
	// Called for a job that was accepted, with its limit; ends when the job does.
	// nil: the job stays pending.
	job func(limit string)

	mu      sync.Mutex
	pending map[string]bool
	jobs    sync.WaitGroup
}

func (a *awx) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body map[string]string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	bad := func(msg string) { answer(http.StatusBadRequest, map[string]string{"msg": msg}) }
	if r.URL.Path != "/api/v2/job_templates/7/callback/" {
		answer(http.StatusNotFound, map[string]string{"detail": "The requested resource could not be found."})
		return
	}
	var data struct {
		Key string `json:"host_config_key"`
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") ||
		json.NewDecoder(r.Body).Decode(&data) != nil {
		answer(http.StatusUnsupportedMediaType, map[string]string{"detail": "Unsupported media type in request."})
		return
	}
	// JobTemplateCallbackPermission.has_permission: PermissionDenied.
	if r.Method != http.MethodPost || data.Key == "" || data.Key != a.key {
		answer(http.StatusForbidden, map[string]string{"detail": "You do not have permission to perform this action."})
		return
	}
	if a.hosts == nil {
		bad("Cannot start automatically, an inventory is required.")
		return
	}
	// find_matching_hosts, without its reverse lookups: REMOTE_HOST_HEADERS is
	// REMOTE_ADDR and REMOTE_HOST by default.
	remote, _, _ := net.SplitHostPort(r.RemoteAddr)
	var matches []string
	for name, effective := range a.hosts {
		if effective == remote {
			matches = append(matches, name)
		}
	}
	switch {
	case len(matches) == 0:
		bad("No matching host could be found!")
		return
	case len(matches) > 1:
		bad("Multiple hosts matched the request!")
		return
	case a.prompts:
		bad("Cannot start automatically, user input required!")
		return
	}
	if !a.start(matches[0]) {
		bad("Host callback job already pending.")
		return
	}
	w.Header().Set("Location", "/api/v2/jobs/42/")
	w.WriteHeader(http.StatusCreated)
}

// start makes a job for one host, unless it has one that did not end.
func (a *awx) start(limit string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[limit] {
		return false
	}
	if a.pending == nil {
		a.pending = map[string]bool{}
	}
	a.pending[limit] = true
	if a.job != nil {
		a.jobs.Go(func() {
			a.job(limit)
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.pending, limit)
		})
	}
	return true
}

// serve starts the controller with TLS on the loopback.
func serve(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// serveWith is serve with a certificate that is not valid before a time, and
// returns that certificate too.
func serveWith(t *testing.T, handler http.Handler, notBefore time.Time) (*httptest.Server, []byte) {
	t.Helper()
	key := must.Get(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: notBefore, NotAfter: notBefore.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der := must.Get(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
