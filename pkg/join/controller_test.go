package join_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

const (
	hostKey  = "canary-5f0c1d"
	callback = "/api/v2/job_templates/7/callback/"
)

// took is the time that a line ends with.
var took = regexp.MustCompile(` \(\d+ s\)\n$`)

// call runs the command in mode controller, which ends with the status, and returns its
// line without the time it took. The key must not be in it.
func call(t *testing.T, status int, url string, ca []byte, more string) string {
	t.Helper()
	dir := t.TempDir()
	key := file(t, filepath.Join(dir, "callback.key"), hostKey+"\n", 0o600)
	text := fmt.Sprintf(
		"router: azure-1\nmode: controller\nstate_dir: %s\ncontroller:\n  url: %s\n  host_config_key_file: %s\n",
		dir, url, key)
	if ca != nil {
		text += "  ca_file: " + file(t, filepath.Join(dir, "ca.pem"), string(ca), 0o644) + "\n"
	}
	have, said := command(t, "--config", file(t, filepath.Join(dir, "join.yml"), text+more, 0o644))
	assert.Equal(t, status, have, said)
	assert.NotContains(t, said, hostKey)
	assert.Equal(t, 1, strings.Count(said, "\n"), said)
	said = took.ReplaceAllString(said, "\n")
	return strings.TrimSuffix(strings.TrimPrefix(strings.ReplaceAll(said, dir, "DIR"), "wgmesh join: "), "\n")
}

func certificate(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestController(t *testing.T) {
	here := map[string]string{"azure-1": "127.0.0.1", "azure-2": "192.0.2.2"}
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://me:secret@other.example"+r.URL.Path)
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		})
	}
	pending := &awx{key: hostKey, hosts: here}
	pending.start("azure-1")
	tests := map[string]struct {
		controller http.Handler
		path       string
		status     int
		line       string
	}{
		"accepted": {
			&awx{key: hostKey, hosts: here}, callback, 0,
			"azure-1: the controller HOST took it over: /api/v2/jobs/42/",
		},
		"pending": {
			pending, callback, 0,
			"azure-1: the controller HOST is at it already: its job for this router has not ended",
		},
		"unknown": {
			&awx{key: hostKey, hosts: map[string]string{}}, callback, 75,
			"azure-1: the controller HOST has no host with this machine's address in the job template's inventory; " +
				"give it one (ansible_host), and set its source to update on launch",
		},
		"several": {
			&awx{key: hostKey, hosts: map[string]string{"a": "127.0.0.1", "b": "127.0.0.1"}}, callback, 75,
			"azure-1: the controller HOST has several hosts with this machine's address; " +
				"leave one of them in the job template's inventory",
		},
		"prompts": {
			&awx{key: hostKey, hosts: here, prompts: true}, callback, 75,
			"azure-1: the controller HOST cannot start the job by itself (Cannot start automatically, " +
				"user input required!); give the job template an inventory and take its prompts and survey away",
		},
		"no inventory": {
			&awx{key: hostKey}, callback, 75,
			"azure-1: the controller HOST cannot start the job by itself (Cannot start automatically, " +
				"an inventory is required.); give the job template an inventory and take its prompts and survey away",
		},
		"wrong key": {
			&awx{key: "other", hosts: here}, callback, 78,
			"azure-1: the controller HOST refused the host config key of DIR/callback.key (403 Forbidden: " +
				"You do not have permission to perform this action.); copy the job template's",
		},
		"wrong template": {
			&awx{key: hostKey, hosts: here}, "/api/v2/job_templates/8/callback/", 78,
			"azure-1: the controller HOST has no callback at /api/v2/job_templates/8/callback/ (404 Not Found: " +
				"The requested resource could not be found.); " +
				"copy the job template's \"Provisioning callback URL\" to controller.url",
		},
		"starting up": {
			answer(503, "<html>nginx"), callback, 75,
			"azure-1: the controller HOST is not able to answer: 503 Service Unavailable",
		},
		"error, echo": {
			answer(500, `{"detail": "bad `+hostKey+`"}`), callback, 75,
			"azure-1: the controller HOST is not able to answer: 500 Internal Server Error: bad [redacted]",
		},
		"error starting": {
			answer(400, `{"msg": "Error starting job!"}`), callback, 75,
			"azure-1: the controller HOST refused: 400 Bad Request: Error starting job!",
		},
		"redirect": {
			answer(301, ""), callback, 78,
			"azure-1: HOST redirects to https://me:xxxxx@other.example/api/v2/job_templates/7/callback/, " +
				"and the key does not follow; if that is right, set controller.url to it",
		},
		"teapot": {answer(418, ""), callback, 78, "azure-1: the controller HOST refused: 418 I'm a teapot"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := serve(t, tt.controller)
			line := call(t, tt.status, server.URL+tt.path, certificate(server), "")
			host := strings.TrimPrefix(server.URL, "https://")
			assert.Equal(t, tt.line, strings.ReplaceAll(line, host, "HOST"))
		})
	}
}

// What is between here and the controller.
func TestControllerOutOfReach(t *testing.T) {
	good := &awx{key: hostKey, hosts: map[string]string{"azure-1": "127.0.0.1"}}

	t.Run("nobody listens", func(t *testing.T) {
		listener := must.Get(net.Listen("tcp", "127.0.0.1:0"))(t)
		address := listener.Addr().String()
		require.NoError(t, listener.Close())
		line := call(t, 75, "https://"+address+callback, nil, "")
		assert.Equal(t,
			"the controller "+address+" cannot be reached: dial tcp "+address+": connect: connection refused", line)
	})
	t.Run("unknown authority", func(t *testing.T) {
		server := serve(t, good)
		assert.Contains(t, call(t, 78, server.URL+callback, nil, ""),
			"has a certificate of an authority that this machine does not know; "+
				"name its certificate as controller.ca_file")
	})
	t.Run("certificate of tomorrow", func(t *testing.T) {
		server, ca := serveWith(t, good, time.Now().Add(time.Hour))
		line := call(t, 75, server.URL+callback, ca, "")
		assert.Regexp(t,
			`^the controller \S+ has a certificate that is not valid at this machine's time, [0-9-]+ [0-9:]+ UTC; `+
				`look at .chronyc tracking.`, line)
	})
	t.Run("another name", func(t *testing.T) {
		server := serve(t, good)
		url := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
		assert.Contains(t, call(t, 78, url+callback, certificate(server), ""), "has a certificate for another name")
	})
	t.Run("speaks HTTP", func(t *testing.T) {
		server := httptest.NewServer(good)
		t.Cleanup(server.Close)
		line := call(t, 78, strings.Replace(server.URL, "http:", "https:", 1)+callback, nil, "")
		assert.Contains(t, line, "speaks HTTP at this port; correct controller.url")
	})
	t.Run("HTTP allowed", func(t *testing.T) {
		server := httptest.NewServer(good)
		t.Cleanup(server.Close)
		call(t, 0, server.URL+callback, nil, "  allow_http: true\n")
	})
	t.Run("says nothing", func(t *testing.T) {
		ended := make(chan struct{})
		server := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
		t.Cleanup(func() { close(ended) }) // before the server closes
		line := call(t, 75, server.URL+callback, certificate(server), "play_timeout: 200ms\n")
		assert.Contains(t, line, "did not answer within play_timeout")
	})
	t.Run("no certificate in the file", func(t *testing.T) {
		line := call(t, 78, "https://127.0.0.1:1"+callback, []byte("hello"), "")
		assert.Equal(t, "controller.ca_file: DIR/ca.pem holds no certificate in PEM form", line)
	})
}

// A key does not follow a redirect, and others may not read it.
func TestKeyStaysHere(t *testing.T) {
	stolen := 0
	thief := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen++ }))
	server := serve(t, http.RedirectHandler(thief.URL+callback, http.StatusTemporaryRedirect))
	call(t, 78, server.URL+callback, append(certificate(server), certificate(thief)...), "")
	assert.Zero(t, stolen)
}

func TestKeyFile(t *testing.T) {
	tests := map[string]struct {
		content string
		mode    os.FileMode
		line    string
	}{
		"others read it": {hostKey, 0o644, "KEY: others can read the host config key (mode 0644): chmod 600 KEY"},
		"empty":          {"\n", 0o600, "KEY: expected the host config key in one line"},
		"two lines":      {hostKey + "\n" + hostKey, 0o600, "KEY: expected the host config key in one line"},
		"missing": {
			"", 0,
			"KEY: no such file; put the job template's host config key into it: install -m 600 /dev/stdin KEY",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key := filepath.Join(dir, "key")
			if tt.mode != 0 {
				file(t, key, tt.content, tt.mode)
			}
			path := file(t, filepath.Join(dir, "join.yml"), fmt.Sprintf(
				"mode: controller\nstate_dir: %s\ncontroller: {url: "+
					"\"https://127.0.0.1:1%s\", host_config_key_file: %s}\n", dir, callback, key), 0o644)
			status, said := command(t, "--config", path)
			assert.Equal(t, "wgmesh join: "+strings.ReplaceAll(tt.line, "KEY", key)+"\n", said)
			assert.Equal(t, 78, status)
		})
	}
}

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
