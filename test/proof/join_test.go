//go:build lab

package proof_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
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

// joinInventory is the network of the case. Every router gets it with the host keys of all.
const joinInventory = "examples/field-case/inventory.yml"

// identity is the SSH host key by which the routers know each other here. The
// ed25519 one is the same on all hosts of a lab, which stays out of this.
const identity = "/etc/ssh/ssh_host_ecdsa_key"

// TestJoin lets routers join by themselves: nothing here runs Ansible but the
// routers. The steps build on each other, so the first that fails ends the test.
func TestJoin(t *testing.T) {
	l := upFrom(t, "join", joinInventory, "test/proof/testdata/join-image.yml")
	l.steps(t, []step{
		{"a router that was not told how to join says so in one line", joinUntold},
		{"wrong words in join.yml are named with their line", joinMisspelt},
		{"seven routers at once, in any order, become one mesh", joinAllAtOnce},
		{"joining again changes nothing and disturbs nobody", joinAgain},
		{"a load balancer hears whether a router has a way to other sites", balancerAsks},
		{"who holds the load balancer's port keeps nobody else from it, and no tunnel leads there", balancerStarved},
		{"the tables of nftables come back when that flushes them, or status names them", tablesFlushed},
		{"the account of the other routers is bounded, and takes keys from one file", accountBounded},
		{"a rebooted router comes up without discovery and without the others' help", joinBlind},
		{"a taken router can change no tunnel between others, read no key and run no command", takenRouter},
		{"a router with new keys joins while a peer is down, which is peered when it comes back", joinRebuilt},
		{"two machines with one id: the second is refused and the first stays", joinTwice},
	})
}

// join runs the unit and returns its exit status and what it said on the console.
func (l lab) join(t *testing.T, router string) (status, said string) {
	t.Helper()
	out := l.in(t, router, `systemctl stop wgmesh-join.timer wgmesh-join.service
		journalctl --sync; sleep 0.1; since=$(date +%s.%N)
		systemctl reset-failed wgmesh-join.service 2>/dev/null
		before=$(systemctl show -P InvocationID wgmesh-join.service)
		systemctl start --no-block wgmesh-join.service
		# A client that waits for the job gives up at the first daemon-reload, which the play does.
		for n in $(seq 600); do
			[ "$(systemctl show -P InvocationID wgmesh-join.service)" = "$before" ] || break
			sleep 0.1
		done
		while [ "$(systemctl show -P SubState wgmesh-join.service)" = start ]; do sleep 0.2; done
		echo "status $(systemctl show -P ExecMainStatus wgmesh-join.service)"
		systemctl stop wgmesh-join.service # no second try while the test looks
		journalctl --sync; journalctl -q -u wgmesh-join.service --since "@$since" -o cat _TRANSPORT=stdout`)
	status, said, found := strings.Cut(out, "\n")
	if !found {
		said = ""
	}
	return strings.TrimPrefix(status, "status "), said
}

// put writes a file on a router.
func (l lab) put(t *testing.T, router, path, text string) {
	t.Helper()
	l.in(t, router, fmt.Sprintf("echo %s | base64 -d > %s", base64.StdEncoding.EncodeToString([]byte(text)), path))
}

func (l lab) tell(t *testing.T, router string) {
	t.Helper()
	l.put(t, router, "/etc/wgmesh/join.yml",
		fmt.Sprintf("router: %s\ninventory: /etc/wgmesh/inventory.yml\nidentity_file: %s\n", router, identity))
}

// introduce gives every router the inventory with the host keys of all, and tells
// it to join by itself.
func (l lab) introduce(t *testing.T, inventory string) {
	t.Helper()
	keys := l.onRouters(t,
		`ssh-keygen -q -t ecdsa -N "" -f `+identity+`; echo HostKey `+identity+
			` > /etc/ssh/sshd_config.d/70-identity.conf
		systemctl reload ssh; sleep 1; cat `+identity+`.pub`)
	text := must.Get(os.ReadFile(filepath.Join(l.root, inventory)))(t)
	all := string(text)
	for r, key := range keys {
		require.Contains(t, all, r+": {")
		all = strings.Replace(all, r+": {", fmt.Sprintf("%s: {mesh_host_key: %q, ", r, strings.TrimSpace(key)), 1)
	}
	for _, r := range l.routers {
		l.put(t, r, "/etc/wgmesh/inventory.yml", all)
		l.tell(t, r)
	}
}

func joinUntold(t *testing.T, l lab) {
	status, said := l.join(t, "office-1")
	assert.Equal(t, "78", status)
	assert.Equal(t, 1, strings.Count(said, "\n")+1, "more than one line: %s", said)
	assert.Contains(t, said, "/etc/wgmesh/join.yml")
	// `systemctl status` shows it, too, unless journald was too late to see whose line
	// that was: the process lives for 4 ms.
}

func joinMisspelt(t *testing.T, l lab) {
	for text, want := range map[string]string{
		"router: office-1\ninventroy: x.yml\n":      "/etc/wgmesh/join.yml:2: inventroy",
		"router: office-1\n  inventory: [x.yml\n":   "/etc/wgmesh/join.yml:2",
		"router: office-1\ninventory: /nowhere.yml": "/nowhere.yml",
	} {
		l.put(t, "office-1", "/etc/wgmesh/join.yml", text)
		_, said := l.join(t, "office-1")
		assert.Contains(t, said, want)
	}
}

func joinAllAtOnce(t *testing.T, l lab) {
	l.introduce(t, joinInventory)
	order := mathrand.Perm(len(l.routers))
	t.Logf("order of starting: %v", order)
	began := time.Now()
	var wg sync.WaitGroup
	for _, i := range order {
		// As at boot: the timer starts the unit, systemd tries again by itself.
		wg.Go(func() {
			l.in(t, l.routers[i],
				"systemctl reset-failed wgmesh-join.service; systemctl start wgmesh-join.timer; "+
					"systemctl start --no-block wgmesh-join.service")
		})
	}
	wg.Wait()
	for _, r := range l.routers {
		require.Eventually(t, func() bool {
			out, err := l.try(t, "exec", r, `[ "$(birdc show protocols 2>/dev/null | grep -c Established)" = 6 ]`)
			_ = out
			return err == nil
		}, 20*time.Minute, time.Second, "%s has not all of its sessions", r)
	}
	t.Logf("7 routers, 21 tunnels, all sessions up after %v", time.Since(began).Round(time.Second))
	for _, r := range l.routers {
		l.waitFor(t, r,
			`[ "$(systemctl show -P ActiveState wgmesh-join.service)" = inactive ] && journalctl -q -u `+
				`wgmesh-join.service | grep -q "6 of 6"`)
	}
	l.allPing(t)
}

func joinAgain(t *testing.T, l lab) {
	before, sessions := l.states(t), l.sessions(t)
	for _, r := range []string{"gcp-1", "office-1"} {
		status, said := l.join(t, r)
		assert.Equal(t, "0", status, said)
		assert.Regexp(t, `(?m)^wgmesh join: `+r+` is in the mesh: 6 of 6 peers, nothing changed`, said)
	}
	l.unchanged(t, before)
	alone := func(module, args string) {
		out, err := l.command(t, 10*time.Minute, "ansible", "-i", l.inventory(), "gcp-1", "-m", "wgmesh.router."+module,
			"-a", args)
		require.NoError(t, err, tail(out))
		require.Contains(t, out, "CHANGED", module)
	}
	alone("wg_keypair", `{"mesh": "routers", "name": "gcp-1", "regenerate": "always", "guard": 300}`)
	status, said := l.join(t, "gcp-1")
	assert.Equal(t, "75", status, said)
	assert.Contains(t, said, "a change of this router waits for its confirmation since ")
	alone("mesh_guard", `{"state": "undone"}`)
	l.undisturbed(t, sessions)
}

func joinBlind(t *testing.T, l lab) {
	const files = "find /etc/wireguard /etc/bird -type f | sort | xargs stat -c '%n %a %Y' && " +
		"wg show all allowed-ips | sort"
	before := l.in(t, "aws-2", files)
	l.in(t, "aws-2", "mv /etc/wgmesh/inventory.yml /etc/wgmesh/away.yml")
	l.tool(t, "stop", "aws-2")
	began := time.Now()
	l.tool(t, "start", "aws-2")
	l.waitHealthy(t)
	took := time.Since(began)
	t.Logf("back in the mesh after %v", took.Round(100*time.Millisecond))
	within(t, took, bootLimit, "back in the mesh")
	l.waitFor(t, "aws-2",
		`journalctl -q -b -u wgmesh-join.service | grep -q "discovery failed.*using the routers known"`)
	l.waitFor(t, "aws-2", `journalctl -q -b -u wgmesh-join.service | grep -q "6 of 6 peers, nothing changed"`)
	assert.Equal(t, "first",
		strings.TrimSpace(
			l.in(t, "aws-2", `join=$(systemctl show -P ExecMainStartTimestampMonotonic wgmesh-join.service)
		for tunnel in $(wg show interfaces); do
			[ "$(systemctl show -P ActiveEnterTimestampMonotonic wg-quick@$tunnel)" -le "$join" ] ||
				echo "$tunnel came up after wgmesh join"
		done; echo first`)))
	l.in(t, "aws-2", "mv /etc/wgmesh/away.yml /etc/wgmesh/inventory.yml")
	assert.Equal(t, before, l.in(t, "aws-2", files))
}

// takenRouter has root on azure-1 and wants more.
func takenRouter(t *testing.T, l lab) {
	before, sessions, secrets := l.states(t), l.sessions(t), l.secrets(t)
	delete(before, "azure-1")
	ssh := "ssh -F /dev/null -i " + identity +
		" -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o HostKeyAlias=office-1 -o " +
		"UserKnownHostsFile=/etc/wgmesh/known_hosts -o ConnectTimeout=60 "
	to := " wgmesh@192.0.2.11 "
	for name, test := range map[string]struct{ command, want string }{
		"a command": {
			ssh + to + "cat /etc/wireguard/wgmesh.key </dev/null",
			"a shell, a file or a tunnel is not to be had here",
		},
		"a shell": {"echo id | " + ssh + "-tt" + to, "PTY allocation request failed"},
		"another module": {
			`echo '{"_ansible_module_name": "wgmesh.router.wg_tunnel", "tunnels": [], "purge": true}' | ` + ssh + to +
				"wg_tunnel", "azure-1 may run wgmesh.router.mesh_peer here and nothing else",
		},
		"another router's tunnel": {
			`echo '{"_ansible_module_name": "wgmesh.router.mesh_peer", "name": "aws-1", "state": "known"}' | ` + ssh +
				to, "azure-1 may speak for itself only",
		},
		"a plan of its own": {
			`echo '{"_ansible_module_name": "wgmesh.router.mesh_peer", "gate_file": "/tmp/x"}' | ` + ssh + to,
			"option gate_file is not for callers",
		},
		"sftp": {
			"echo 'get /etc/wgmesh/gate.json /tmp/stolen' | timeout 60 sftp -b - " +
				strings.TrimPrefix(ssh, "ssh ") + to, "",
		},
		"a forwarded port": {
			"(sleep 1; echo) | timeout 60 " + ssh + "-o ExitOnForwardFailure=yes -W 127.0.0.1:22" + to,
			"administratively prohibited",
		},
		"root":         {ssh + " root@192.0.2.11 id </dev/null", "Permission denied"},
		"sudo for all": {ssh + to + "sudo -n id </dev/null", "not to be had here"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := l.try(t, "exec", "azure-1", "("+test.command+") 2>&1; ls /tmp/stolen 2>&1")
			assert.Contains(t, out, test.want)
			assert.NotContains(t, out, "uid=")
			assert.NotRegexp(t, regexp.MustCompile(`(?m)^/tmp/stolen$`), out)
			for _, s := range secrets {
				require.False(t, strings.Contains(out, s.text), "%s answered with %s", name, s.kind)
			}
		})
	}
	l.unchanged(t, before)
	l.undisturbed(t, sessions)
}

func joinRebuilt(t *testing.T, l lab) {
	key := l.in(t, "gcp-1", "wg pubkey < /etc/wireguard/wgmesh.key")
	l.tool(t, "stop", "office-2")
	// What a new machine from the image has: the SSH host key that it was given, and
	// nothing that the one before had made.
	l.in(t, "gcp-1",
		`systemctl stop bird
		for f in /etc/wireguard/wg*.conf; do n=$(basename $f .conf); systemctl disable -q --now wg-quick@$n; done
		rm -rf /etc/wireguard/* /etc/bird/bird.conf* /var/lib/wgmesh/inventory* \
			/etc/wgmesh/gate.json /etc/wgmesh/authorized_keys /etc/wgmesh/known_hosts
		systemctl start bird || true`)
	third := l
	third.routers = []string{"azure-1", "aws-1"}
	sessions := third.sessions(t)
	l.waitFor(t, "azure-1", "! birdc show bfd sessions | grep -q 'wg18.*Up'") // 3-7
	status, said := l.join(t, "gcp-1")
	assert.Equal(t, "75", status, "a peer is missing, so it tries again: %s", said)
	assert.Regexp(t, `office-2: .*(cannot be reached|timed out)`, said)
	assert.Contains(t, said, "5 of 6")
	assert.NotEqual(t, key, l.in(t, "gcp-1", "wg pubkey < /etc/wireguard/wgmesh.key"))
	l.waitFor(t, "gcp-1", `[ "$(birdc show protocols | grep -c Established)" = 5 ]`)
	delete(sessions["azure-1"], "wg18")
	delete(sessions["aws-1"], "wg20")
	third.undisturbed(t, sessions)

	// Its own join, at boot, is what brings it back; nobody else does anything.
	began := time.Now()
	l.tool(t, "start", "office-2")
	l.waitHealthy(t)
	t.Logf("office-2 is back, with the new keys of gcp-1, after %v", time.Since(began).Round(time.Second))
	l.allPing(t)
}

func joinTwice(t *testing.T, l lab) {
	before, sessions := l.states(t), l.sessions(t)
	// The second machine has the SSH key that was meant for the first, as two VMs
	// of one user-data have, and keys of its own.
	const ask = `echo '{"_ansible_module_name": "wgmesh.router.mesh_peer", "name": "azure-1", "public_key": ` +
		`"'$(wg genkey | wg pubkey)'", "sealing_key": "x"}' |
		ssh -F /dev/null -i ` + identity + ` -o BatchMode=yes -o StrictHostKeyChecking=yes -o ` +
		`HostKeyAlias=office-1 -o UserKnownHostsFile=/etc/wgmesh/known_hosts wgmesh@192.0.2.11 2>&1 || true`
	l.waitFor(t, "office-1", "birdc show bfd sessions | grep -q 'wg2 .*Up'")
	said := l.in(t, "azure-1", ask)
	assert.Regexp(t, `office-1 has a tunnel to another azure-1, which is alive `+
		`\(its (BFD|last handshake) .*on wg2 `, said)
	assert.Contains(t, said, "are there two machines with this name and id?")
	l.unchanged(t, before)
	l.undisturbed(t, sessions)
}

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

// listenIn listens in another network namespace. A socket stays in the one that it was made in.
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
