//go:build lab

package proof_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/wgmesh/router/internal/must"
)

// TestCallback has a rebuilt router call a controller back, which peers it with
// the others: both ends of its tunnels, by a job that is limited to the caller.
// The controller was written from AWX's published source (JobTemplateCallback in
// awx/api/views/__init__.py); pkg/join tests all of its answers. No AWX runs here.
func TestCallback(t *testing.T) {
	l := upFrom(t, "callback", "test/proof/testdata/dual.yml", "test/proof/testdata/join-image.yml")
	l.mesh(t)
	key := l.in(t, "two-1", "wg pubkey < /etc/wireguard/wgmesh.key")

	// What a new machine from the image has: nothing that the one before had made.
	l.in(t, "two-1",
		`systemctl stop bird
		for f in /etc/wireguard/wg*.conf; do systemctl disable -q --now wg-quick@$(basename $f .conf); done
		rm -rf /etc/wireguard/* /etc/bird/bird.conf* /var/lib/wgmesh/inventory.json /etc/wgmesh/*
		systemctl start bird || true`)
	l.waitFor(t, "one-1", "! birdc show bfd sessions | grep -q 'wg1.*Up'")

	// Of two-1 itself, from which its request comes, since the controller is there too.
	address := l.in(t, "two-1", "ip -4 route get 198.51.100.11 | grep -o 'src [0-9.]*' | cut -c 5-")
	c := &controller{t: t, lab: l, key: "canary-" + key[:8], hosts: map[string]string{address: "two-1"}}
	ca := c.serve(address + ":8443")
	l.put(t, "two-1", "/etc/wgmesh/ca.pem", ca)
	l.put(t, "two-1", "/etc/wgmesh/callback.key", c.key+"\n")
	l.in(t, "two-1", "chmod 600 /etc/wgmesh/callback.key")
	l.put(t, "two-1", "/etc/wgmesh/join.yml", fmt.Sprintf(`router: two-1
mode: controller
controller:
  url: https://%s:8443/api/v2/job_templates/7/callback/
  host_config_key_file: /etc/wgmesh/callback.key
  ca_file: /etc/wgmesh/ca.pem
`, address))

	status, _ := l.join(t, "two-1")
	assert.Equal(t, "0", status)
	// Not by _COMM: journald does not learn it of a program that ends so soon.
	said := l.in(t, "two-1", "journalctl -q -u wgmesh-join.service -o cat | grep '^wgmesh join: ' | tail -n 1")
	assert.Regexp(t, `^wgmesh join: two-1: the controller \S+ took it over: /api/v2/jobs/42/ \(\d+ s\)$`, said)
	c.jobs.Wait()
	require.NoError(t, c.err, tail(c.out))
	assert.NotContains(t, c.out, c.key)
	assert.NotEqual(t, key, l.in(t, "two-1", "wg pubkey < /etc/wireguard/wgmesh.key"))
	l.allPing(t) // the play has waited for the sessions

	// Calling again changes nothing, and neither does the play for everybody.
	status, _ = l.join(t, "two-1")
	assert.Equal(t, "0", status)
	c.jobs.Wait()
	require.NoError(t, c.err, tail(c.out))
	assert.Regexp(t, `two-1 +: ok=\d+ +changed=0 `, c.out)
	assert.Empty(t, l.mesh(t).changed())
}

// A controller takes callbacks and runs the job.
type controller struct {
	t     *testing.T
	lab   lab
	key   string
	hosts map[string]string // names by ansible_host

	jobs sync.WaitGroup
	out  string
	err  error
}

func (c *controller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var data struct {
		Key string `json:"host_config_key"`
	}
	answer := func(status int, body string) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"msg": %q}`, body)
	}
	remote, _, _ := net.SplitHostPort(r.RemoteAddr)
	limit, known := c.hosts[remote]
	switch {
	case r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&data) != nil || data.Key != c.key:
		answer(http.StatusForbidden, "You do not have permission to perform this action.")
	case !known:
		answer(http.StatusBadRequest, "No matching host could be found!")
	default:
		// kv = {"limit": host.name}: the job sees no other host.
		c.jobs.Go(func() {
			c.out, c.err = c.lab.command(c.t, 20*time.Minute, "ansible-playbook", "-i",
				c.lab.inventory(), "wgmesh.router.callback", "--limit", limit, "-e", "mesh_settle=60")
		})
		w.Header().Set("Location", "/api/v2/jobs/42/")
		w.WriteHeader(http.StatusCreated)
	}
}

// serve listens in the network of the router two-1, at an address of its own,
// and returns the certificate.
func (c *controller) serve(address string) (ca string) {
	t := c.t
	key := must.Get(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	host, _, err := net.SplitHostPort(address)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
	}
	der := must.Get(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)

	listener := must.Get(listenIn("wgmesh-"+c.lab.name+".host.two-1", address))(t)
	server := &http.Server{
		Handler: c, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		c.jobs.Wait()
	})
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))) + "\n"
}

// listenIn listens in another network namespace. A socket stays in the one that
// it was made in.
func listenIn(name, address string) (listener net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and the thread ends with this goroutine
		var there netns.NsHandle
		if there, err = netns.GetFromName(name); err != nil {
			return
		}
		defer func() { _ = there.Close() }()
		if err = netns.Set(there); err != nil {
			return
		}
		listener, err = net.Listen("tcp", address)
	}()
	<-done
	return listener, err
}
