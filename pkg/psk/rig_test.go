package psk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
)

// A router of the tests: its folder, its keys and its tunnels.
type router struct {
	t       *testing.T
	name    string
	dir     string
	tunnels []plan.PresharedKey
	now     time.Time
	rotate  []string
	purge   bool
	stale   []string
	peer    psk.Peer // what it tells the others
}

func newRouter(t *testing.T, name string, tunnels ...plan.PresharedKey) *router {
	t.Helper()
	r := &router{t: t, name: name, dir: t.TempDir(), tunnels: tunnels, now: time.Unix(1_700_000_000, 0)}
	r.rekey()
	return r
}

// pair returns the two ends of tunnel 20.
func pair(t *testing.T) (a, b *router) {
	t.Helper()
	return newRouter(t, "office-2", plan.PresharedKey{Number: 20, Peer: "gcp-1", Role: plan.Initiator}),
		newRouter(t, "gcp-1", plan.PresharedKey{Number: 20, Peer: "office-2", Role: plan.Responder})
}

func (r *router) file(name string) string { return filepath.Join(r.dir, name) }
func (r *router) key(number int) string   { return r.file(fmt.Sprintf("psk/%d.psk", number)) }
func (r *router) record(number int) string {
	return r.file(fmt.Sprintf("psk/%d.json", number))
}

// rekey gives the router new keys, as a rebuild does.
func (r *router) rekey() {
	k, s := seal.NewWGPrivate(), seal.NewPrivateKey()
	require.NoError(r.t, os.WriteFile(r.file("key"), k.Encode(), 0o600))
	require.NoError(r.t, os.WriteFile(r.file("seal"), s.Encode(), 0o600))
	r.peer = psk.Peer{Name: r.name, PublicKey: k.Public().String(), SealingKey: s.Public().String()}
}

func (r *router) plan(sealed bool, envelopes []psk.Envelope, peers ...*router) (psk.Delta, error) {
	want := psk.Want{
		Name: r.name, Tunnels: r.tunnels, Envelopes: envelopes, Rotate: r.rotate,
		Purge: r.purge, StalePeers: r.stale, Directory: r.file("psk"), Now: r.now,
	}
	for _, p := range peers {
		want.Peers = append(want.Peers, p.peer)
	}
	if err := want.Validate(); err != nil {
		return psk.Delta{}, err
	}
	host := psk.Host{PrivateKeyFile: r.file("key"), SealingKeyFile: r.file("seal"), Opens: !sealed}
	have, err := host.Observe(r.t.Context(), want)
	if err != nil {
		return psk.Delta{}, err
	}
	return host.Diff(want, have)
}

// run plans, looks that planning wrote nothing, applies, and plans again: the
// second delta has to be empty.
func (r *router) run(sealed bool, envelopes []psk.Envelope, peers ...*router) (psk.Delta, psk.Outcome) {
	r.t.Helper()
	tree := must.Tree(r.t, r.dir)
	delta := must.Get(r.plan(sealed, envelopes, peers...))(r.t)
	require.Equal(r.t, tree, must.Tree(r.t, r.dir), "planning wrote something")
	before, after := delta.Views()
	out := delta.Outcome()
	if len(delta.Steps) == 0 {
		require.Equal(r.t, before, after)
	} else {
		require.NotEqual(r.t, before, after, "the diff has to show what is done")
		out = must.Get(psk.Host{}.Apply(r.t.Context(), delta))(r.t)
		require.Len(r.t, out.Done, len(delta.Steps))
	}
	r.rotate = nil
	again := must.Get(r.plan(sealed, envelopes, peers...))(r.t)
	require.Empty(r.t, again.Steps, "the second run changes something")
	require.Equal(r.t, out.Held, again.Held())
	require.Len(r.t, again.Envelopes, len(out.Envelopes), "sealed on every run")
	return delta, out
}

// converge runs both ends and looks that they hold the same key.
func converge(t *testing.T, a, b *router) (sealed, opened psk.Delta, held psk.Held) {
	t.Helper()
	sealed, first := a.run(true, nil, a, b)
	opened, second := b.run(false, first.Envelopes, a, b)
	require.Len(t, first.Held, 1)
	require.Len(t, second.Held, 1)
	require.Equal(t, first.Held[0].PSKID, second.Held[0].PSKID)
	require.Equal(t, first.Held[0].Generation, second.Held[0].Generation)
	require.True(t, string(read(t, a.key(20))) == string(read(t, b.key(20))), "the ends hold different keys")
	return sealed, opened, first.Held[0]
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	return must.Get(os.ReadFile(path))(t)
}
