//go:build integration

package wg_test

import (
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// A router is a network namespace with its own folder of keys and files.
type router struct {
	nettest.Namespace
	t    *testing.T
	dir  string
	want wg.Want
	kind string // of WireGuard: that of the kernel where it has one, as wg-quick chooses
}

func newRouter(t *testing.T, name string) *router {
	t.Helper()
	r := &router{Namespace: nettest.New(t, name), t: t, dir: filepath.Join(t.TempDir(), "wireguard")}
	require.NoError(t, os.Mkdir(r.dir, 0o700))
	r.kind = r.Kind(t)
	nettest.Sh(t, "umask 077; wg genkey > %s/wgmesh.key", r.dir)
	r.want = wg.Want{
		PrivateKeyFile: r.dir + "/wgmesh.key", Directory: r.dir, InterfacePrefix: "wt", MSSClamp: true,
		PublicKeys: map[string]plan.PublicKey{},
	}
	return r
}

func (r *router) publicKey() plan.PublicKey {
	k := must.Get(plan.ParsePublicKey(strings.TrimSpace(nettest.Sh(r.t, "wg pubkey < %s/wgmesh.key", r.dir))))(r.t)
	return k
}

// sh runs a shell command inside the router.
func (r *router) sh(format string, args ...any) string {
	r.t.Helper()
	return r.Sh(r.t, format, args...)
}

// opened does something in the router's namespace.
func (r *router) opened(do func(h *wg.Host) error) error {
	return r.Inside(func() error {
		h, err := wg.Open(r.dir)
		if err != nil {
			return err
		}
		defer func() { _ = h.Close() }()
		return do(h)
	})
}

// plan observes and compares, and requires that this changed nothing at all.
func (r *router) plan() (d wg.Delta, pending []plan.Pending) {
	r.t.Helper()
	before := r.dump()
	d, pending = r.compare()
	assert.Equal(r.t, before, r.dump(), "a plan must change nothing")
	return d, pending
}

// compare is plan without looking after it.
func (r *router) compare() (d wg.Delta, pending []plan.Pending) {
	r.t.Helper()
	require.NoError(r.t, r.want.Validate())
	require.NoError(r.t, r.opened(func(h *wg.Host) error {
		s, err := wg.Observe(r.t.Context(), h, r.want)
		if err != nil {
			return err
		}
		pending = wg.PendingPeers(r.want, s)
		d, err = wg.Diff(r.want, s)
		return err
	}))
	return d, pending
}

// apply plans and applies, and requires that a second plan is empty.
func (r *router) apply() (done []string) {
	r.t.Helper()
	d, _ := r.plan()
	require.NoError(r.t, r.opened(func(h *wg.Host) (err error) {
		if done, err = wg.Apply(r.t.Context(), h, d); err != nil || len(r.want.Tunnels) == 0 {
			return err
		}
		kind, err := h.Implementation(r.want.Tunnels)
		assert.Equal(r.t, r.kind, kind, "implementation of WireGuard")
		return err
	}))
	again, _ := r.compare()
	require.True(r.t, again.Empty(), "second plan: %+v", again)
	return done
}

// dump is everything that a plan must leave alone, without secrets and without
// what changes by itself.
func (r *router) dump() string {
	r.t.Helper()
	text := ""
	require.NoError(r.t, r.Inside(func() error {
		// Not through a shell: the virtual machine of `make kernel` has slow processors.
		for _, tool := range [][]string{{"ip", "-d", "addr"}, {"nft", "list", "ruleset"}} {
			out, _ := exec.Command(tool[0], tool[1:]...).Output()
			text += string(out)
		}
		// One by one: "all" are also wireguard-go's of other namespaces, which come and go.
		for _, m := range regexp.MustCompile(`(?m)^\d+: (wt\w+): `).FindAllStringSubmatch(text, -1) {
			out, _ := exec.Command("wg", "show", m[1], "dump").Output()
			for line := range strings.Lines(string(out)) {
				text += m[1] + "\t" + line
			}
		}
		return nil
	}))
	text = strings.ReplaceAll(text, " tentative", "") // which ends by itself
	lines := strings.Split(text+r.files(), "\n")
	for i, line := range lines {
		f := strings.Split(line, "\t")
		switch {
		case len(f) == 5: // an interface: its private key is the second
			lines[i] = strings.Join(append(f[:1], f[2:]...), " ")
		case len(f) == 9: // a peer: no times and counters
			lines[i] = fmt.Sprintf("%s %s %x %s %s %s", f[0], f[1], sha256.Sum256([]byte(f[2])), f[3], f[4], f[8])
		}
	}
	slices.Sort(lines) // peers come in no order
	return strings.Join(lines, "\n")
}

// files lists the files of r with what they are and a hash of what is in them.
func (r *router) files() string {
	r.t.Helper()
	entries := must.Get(os.ReadDir(r.dir))(r.t)
	text := ""
	for _, e := range entries {
		info := must.Get(e.Info())(r.t)
		raw := must.Get(os.ReadFile(filepath.Join(r.dir, e.Name())))(r.t)
		text += fmt.Sprintf("%s %s %d %s %x\n", info.Mode(), info.ModTime(),
			info.Sys().(*syscall.Stat_t).Ino, e.Name(), sha256.Sum256(raw))
	}
	return text
}

// tunnelled is a pair whose tunnels work.
func tunnelled(t *testing.T, n int) (a, b *router) {
	t.Helper()
	a, b = pair(t, n)
	a.apply()
	b.apply()
	for i := range n {
		a.reaches(fmt.Sprintf("172.31.%d.2", i+1))
	}
	return a, b
}

// pair joins two routers by a cable and n tunnels, with pre-shared keys.
func pair(t *testing.T, n int) (a, b *router) {
	t.Helper()
	nettest.Need(t, "wg", "wg-quick", "nft", "ping")
	a, b = newRouter(t, "a"), newRouter(t, "b")
	nettest.Cable(t, a.Namespace, "eth0", b.Namespace, "eth0")
	for i, r := range []*router{a, b} { // without link-local addresses, which change by themselves at first
		r.IP(t, "link", "set", "eth0", "addrgenmode", "none")
		r.IP(t, "addr", "add", fmt.Sprintf("192.0.2.%d/24", i+1), "dev", "eth0")
		r.IP(t, "link", "set", "eth0", "up")
	}
	// The kernel tells a little later that the cable is in: what a plan must not change.
	for _, r := range []*router{a, b} {
		require.Eventually(t, func() bool {
			return strings.Contains(r.sh("ip link show eth0"), "state UP")
		}, 2*time.Minute, 10*time.Millisecond)
	}
	a.want.PublicKeys["b"], b.want.PublicKeys["a"] = b.publicKey(), a.publicKey()
	for i := 1; i <= n; i++ {
		nettest.Sh(t, "umask 077; wg genpsk > %s/%d.psk; cp -p %s/%d.psk %s/%d.psk", a.dir, i, a.dir, i, b.dir, i)
		a.add("a", "b", i, 1)
		b.add("b", "a", i, 2)
	}
	return a, b
}

// add wants tunnel i to peer, as host number self of its link network.
func (r *router) add(own, peer string, i, self int) {
	link := fmt.Sprintf("172.31.%d", i)
	r.want.Tunnels = append(r.want.Tunnels, plan.Tunnel{
		Name: nettest.Unique(fmt.Sprintf("%s%d", own, i)), ListenPort: 51800 + i, MTU: 1340,
		Addresses: prefixes(fmt.Sprintf("%s.%d/24 fd00:%d::%d/64", link, self, i, self)),
		Peers: []plan.Peer{{
			Name: peer, Endpoint: netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:%d", 3-self, 51800+i)),
			AllowedIPs: prefixes(fmt.Sprintf("%s.0/24 fd00:%d::/64 10.%d.0.0/16", link, i, i)), PersistentKeepalive: 25,
			PresharedKeyFile: fmt.Sprintf("%s/%d.psk", r.dir, i),
		}},
	})
}

// A stream is a ping from a router to an address, all the time.
type stream struct {
	cmd *exec.Cmd
	out strings.Builder
}

func (r *router) stream(address string) *stream {
	r.t.Helper()
	return r.streamEvery("0.03", address)
}

// streamEvery is a stream of another interval, in seconds.
func (r *router) streamEvery(interval, address string) *stream {
	r.t.Helper()
	s := &stream{cmd: r.Command("ping", "-n", "-i", interval, address)}
	s.cmd.Stdout = &s.out
	require.NoError(r.t, s.cmd.Start())
	r.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

var echo = regexp.MustCompile(`icmp_seq=(\d+) ttl`)

// end ends a stream, and counts the answers and those that are missing between them.
// An answer that was still on its way is not missing.
func (s *stream) end(t *testing.T) (answers, lost int) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(exitSignal))
	_ = s.cmd.Wait()
	seen, first, last := map[int]bool{}, math.MaxInt, 0
	for _, m := range echo.FindAllStringSubmatch(s.out.String(), -1) {
		n := must.Get(strconv.Atoi(m[1]))(t)
		seen[n], first, last = true, min(first, n), max(last, n)
	}
	require.NotEmpty(t, seen, "not one answer: %s", &s.out)
	return len(seen), last - first + 1 - len(seen)
}

// reaches pings until an answer comes, which may take one retry of a handshake.
func (r *router) reaches(address string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		return r.Inside(exec.Command("ping", "-c1", "-W1", address).Run) == nil
	}, 2*time.Minute, 50*time.Millisecond, "no answer from %s", address)
}
