package psk_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
)

func TestFirstKey(t *testing.T) {
	a, b := pair(t)
	sealed, opened, held := converge(t, a, b)
	assert.Equal(t, int64(1_700_000_000_000), held.Generation, "the millisecond in which it was made")
	assert.Equal(t, "there is none", sealed.Steps[0].Why)
	assert.Equal(t, "there was none", opened.Steps[0].Why)
	for _, path := range []string{a.key(20), a.record(20), b.key(20), b.record(20)} {
		st := must.Get(os.Stat(path))(t)
		assert.Equal(t, os.FileMode(0o600), st.Mode(), path)
	}
	st := must.Get(os.Stat(a.file("psk")))(t)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())

	before, after := sealed.Views()
	assert.Equal(t, []psk.Row{{Tunnel: 20, Peer: "gcp-1", Generation: "none", PSKID: "none", Files: "absent"}}, before)
	assert.Equal(t, "a new key: there is none", after[0].PSKID)

	trees := []map[string]string{must.Tree(t, a.dir), must.Tree(t, b.dir)}
	sealed, opened, again := converge(t, a, b)
	assert.Empty(t, sealed.Steps, "sealing again is not a change")
	assert.Empty(t, opened.Steps)
	assert.Equal(t, held, again)
	assert.Equal(t, trees, []map[string]string{must.Tree(t, a.dir), must.Tree(t, b.dir)})
}

// What goes wrong between runs, and that the next run of both mends it.
func TestHeals(t *testing.T) {
	for _, tt := range []struct {
		name       string
		change     func(a, b *router)
		newKey     bool   // otherwise the same key has to be there again
		initiator  string // why the initiator does something, or ""
		responder  string
		stillOlder bool // the clock went back
	}{
		{name: "responder lost its store", change: func(_, b *router) {
			remove(b.key(20), b.record(20))
		}, responder: "there was none"},
		{name: "responder lost its key", change: func(_, b *router) { remove(b.key(20)) }, responder: "there was none"},
		{name: "responder lost its record", change: func(_, b *router) {
			remove(b.record(20))
		}, responder: "its record was not right"},
		{name: "responder's key is rubbish", change: func(_, b *router) {
			write(b.key(20), "rubbish")
		}, responder: "the file holds no key"},
		{name: "responder's record is rubbish", change: func(_, b *router) {
			write(b.record(20), "{")
		}, responder: "its record was not right"},
		{name: "responder was rebuilt", change: func(_, b *router) {
			b.rekey()
			remove(b.key(20), b.record(20))
		}, newKey: true, initiator: "gcp-1 has a new public key", responder: "there was none"},
		{name: "responder has new keys", change: func(_, b *router) {
			b.rekey()
		}, newKey: true, initiator: "gcp-1 has a new public key", responder: "office-2 has made a new one"},
		{name: "initiator lost its store", change: func(a, _ *router) {
			remove(a.key(20), a.record(20))
		}, newKey: true, initiator: "there is none", responder: "office-2 has made a new one"},
		{name: "initiator lost its key", change: func(a, _ *router) {
			remove(a.key(20))
		}, newKey: true, initiator: "there is none", responder: "office-2 has made a new one"},
		{
			name: "initiator lost its record", change: func(a, _ *router) {
				remove(a.record(20))
			}, newKey: true, initiator: "there is no record of the one in the file",
			responder: "office-2 has made a new one",
		},
		{name: "initiator's key is rubbish", change: func(a, _ *router) {
			write(a.key(20), "rubbish")
		}, newKey: true, initiator: "the file holds no key", responder: "office-2 has made a new one"},
		{name: "initiator's key was changed by hand", change: func(a, _ *router) {
			write(a.key(20), "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n")
		}, newKey: true, initiator: "the record is of another key", responder: "office-2 has made a new one"},
		{name: "initiator was rebuilt, and its clock is slow", change: func(a, _ *router) {
			a.rekey()
			remove(a.key(20), a.record(20))
			a.now = time.Unix(5, 0)
		}, newKey: true, initiator: "there is none", responder: "office-2 has made a new one", stillOlder: true},
		{name: "both were rebuilt", change: func(a, b *router) {
			a.rekey()
			b.rekey()
			remove(a.key(20), a.record(20), b.key(20), b.record(20))
		}, newKey: true, initiator: "there is none", responder: "there was none"},
		{name: "rotate", change: func(a, _ *router) {
			a.rotate = []string{"True"}
		}, newKey: true, initiator: "rotate was asked for", responder: "office-2 has made a new one"},
		{name: "rotate by number, clock back", change: func(a, _ *router) {
			a.rotate = []string{"3", "20"}
			a.now = time.Unix(5, 0)
		}, newKey: true, initiator: "rotate was asked for", responder: "office-2 has made a new one"},
		{name: "rotate by name", change: func(a, _ *router) {
			a.rotate = []string{"gcp-1"}
		}, newKey: true, initiator: "rotate was asked for", responder: "office-2 has made a new one"},
		{name: "rotate of others", change: func(a, _ *router) { a.rotate = []string{"2", "aws-1", "false"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pair(t)
			_, _, first := converge(t, a, b)
			a.now = a.now.Add(time.Second)
			tt.change(a, b)
			sealed, opened, second := converge(t, a, b)
			assert.Equal(t, tt.initiator, why(sealed))
			assert.Equal(t, tt.responder, why(opened))
			assert.Equal(t, tt.newKey, first.PSKID != second.PSKID)
			assert.Equal(t, tt.newKey && !tt.stillOlder, second.Generation > first.Generation)
		})
	}
}

func why(d psk.Delta) string {
	if len(d.Steps) == 0 {
		return ""
	}
	return d.Steps[len(d.Steps)-1].Why
}

func remove(paths ...string) {
	for _, p := range paths {
		if err := os.Remove(p); err != nil {
			panic(err)
		}
	}
}

func write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		panic(err)
	}
}

// Two tunnels to one peer, of which each has an interface of its own name.
func TestTwoTunnelsToOnePeer(t *testing.T) {
	a, b := pair(t)
	for _, r := range []*router{a, b} {
		second := r.tunnels[0]
		second.Number, second.Interface, r.tunnels[0].Interface = 21, "leased", "internet"
		r.tunnels = append(r.tunnels, second)
	}
	_, out := a.run(true, nil, a, b)
	delta, _ := b.run(false, out.Envelopes, a, b)
	assert.Empty(t, refusals(delta))
	assert.Len(t, delta.Steps, 2)
}

func TestRenamedPeerKeepsItsKey(t *testing.T) {
	a, b := pair(t)
	_, _, first := converge(t, a, b)
	b.name, b.peer.Name, a.tunnels[0].Peer = "gcp-9", "gcp-9", "gcp-9"
	sealed, opened, second := converge(t, a, b)
	assert.Equal(t, first.PSKID, second.PSKID)
	assert.Equal(t, "the peer was called gcp-1", why(sealed))
	assert.Empty(t, opened.Steps)
}

// A run without a peer, or with one that failed, does not touch its tunnel.
func TestPeersThatAreNotInTheRun(t *testing.T) {
	a, b := pair(t)
	converge(t, a, b)
	trees := []map[string]string{must.Tree(t, a.dir), must.Tree(t, b.dir)}

	a.rotate = []string{"all"}
	delta, out := a.run(true, nil, a)
	assert.Empty(t, delta.Steps)
	assert.Empty(t, out.Envelopes)
	assert.Len(t, out.Held, 1, "it still says what it holds")
	delta, out = b.run(false, nil, b)
	assert.Empty(t, delta.Steps)
	assert.Empty(t, delta.Pending)
	assert.Len(t, out.Held, 1)

	// The initiator is in the run, but its envelope did not come.
	delta, out = b.run(false, nil, a, b)
	assert.Equal(t,
		[]psk.Pending{{Tunnel: 20, Peer: "office-2", Reason: "no envelope came from office-2"}}, delta.Pending)
	assert.Len(t, out.Held, 1)

	// Check mode on a new router: it has no keys to tell.
	a.peer.PublicKey, b.peer.SealingKey = "", ""
	delta, _ = a.run(true, nil, a, b)
	assert.Equal(t, []psk.Pending{{Tunnel: 20, Peer: "gcp-1", Reason: "gcp-1 has no keys yet"}}, delta.Pending)
	delta, _ = b.run(false, nil, a, b)
	assert.Equal(t, "office-2 has no keys yet", delta.Pending[0].Reason)
	assert.Equal(t, trees, []map[string]string{must.Tree(t, a.dir), must.Tree(t, b.dir)})
}

// Check mode on a new router, whose own keys are not made: the plan says what
// would be made, a real run names the missing file and writes nothing.
func TestOwnKeysMissing(t *testing.T) {
	a, b := pair(t)
	remove(a.file("key"), a.file("seal"))
	delta := must.Get(a.plan(true, nil, a, b))(t)
	assert.Len(t, delta.Steps, 1)
	assert.Empty(t, delta.Outcome().Envelopes)
	assert.Empty(t, delta.Held())
	failed, err := psk.Host{}.Apply(t.Context(), delta)
	require.ErrorContains(t, err, "private_key_file "+a.file("key")+" does not exist: run wg_keypair first")
	assert.Empty(t, failed.Done)
	assert.NoDirExists(t, a.file("psk"))

	a.rekey()
	_, out := a.run(true, nil, a, b)
	remove(b.file("seal"))
	_, err = b.plan(false, out.Envelopes, a, b)
	require.ErrorContains(t, err, "sealing_key_file "+b.file("seal")+" does not exist")
	delta = must.Get(b.plan(false, nil, a, b))(t, "without an envelope the keys are not needed")
	assert.Len(t, delta.Pending, 1)
}

func TestModesAndLeftovers(t *testing.T) {
	a, b := pair(t)
	_, _, first := converge(t, a, b)
	for _, r := range []*router{a, b} {
		require.NoError(t, os.Chmod(r.key(20), 0o644))
		require.NoError(t, os.Chmod(r.record(20), 0o640))
		require.NoError(t, os.Link(r.key(20), r.file("psk/.20.psk.4711.wgmesh")))
	}
	sealed, opened, second := converge(t, a, b)
	assert.Equal(t, first, second)
	for _, d := range []psk.Delta{sealed, opened} {
		assert.Len(t, d.Steps, 3)
		require.Len(t, d.Warnings(), 1)
		assert.Contains(t, d.Warnings()[0], "rotate: [20]")
	}
	assert.NoFileExists(t, a.file("psk/.20.psk.4711.wgmesh"))
}

func TestPurge(t *testing.T) {
	a, b := pair(t)
	converge(t, a, b)
	write(a.key(7), "not ours: it has no record")
	write(a.record(8), `{"made_by":"somebody"}`)
	write(a.key(8), "theirs")
	write(a.file("psk/notes.txt"), "mine")
	a.tunnels = []plan.PresharedKey{{Number: 9, Peer: "aws-1", Role: plan.Responder}}

	delta, _ := a.run(true, nil, a, b)
	assert.Empty(t, delta.Steps, "nothing is removed unless it is asked for")

	a.purge, a.stale = true, []string{"azure-1"}
	delta = must.Get(a.plan(true, nil, a, b))(t)
	assert.Empty(t, delta.Steps, "another run may have made it since")

	a.stale = []string{"gcp-1"}
	delta = must.Get(a.plan(true, nil, a, b))(t)
	require.Len(t, delta.Steps, 1)
	before, after := delta.Views()
	assert.Equal(t, "of a tunnel that is gone", before[0].Files)
	assert.Empty(t, after)

	a.run(false, nil, a, b)
	assert.NoFileExists(t, a.key(20))
	assert.NoFileExists(t, a.record(20))
	for _, path := range []string{a.key(7), a.key(8), a.record(8), a.file("psk/notes.txt")} {
		assert.FileExists(t, path)
	}

	c, d := pair(t)
	converge(t, c, d)
	write(c.file("key"), "damaged")
	c.tunnels, c.purge = nil, true
	c.run(false, nil)
	assert.NoFileExists(t, c.key(20))
}

// What both ends know needs no envelope. A key that is broken, open to others, of another
// mesh or of a router that was rebuilt is not known.
func TestKnown(t *testing.T) {
	known := func(r *router) []psk.Bound {
		want := psk.Want{Name: r.name, Tunnels: r.tunnels, Directory: r.file("psk")}
		host := psk.Host{PrivateKeyFile: r.file("key"), SealingKeyFile: r.file("seal")}
		return psk.Known(want, must.Get(host.Observe(t.Context(), want))(t))
	}
	a, b := pair(t)
	assert.Equal(t, []psk.Bound{}, known(a))
	converge(t, a, b)
	here, there := known(a), known(b)
	require.Len(t, here, 1)
	require.Len(t, there, 1)
	assert.Equal(t, here[0].PSKID, there[0].PSKID)
	assert.Equal(t, []string{b.peer.PublicKey, a.peer.PublicKey}, []string{
		here[0].PeerPublicKey, there[0].PeerPublicKey,
	})

	require.NoError(t, os.Chmod(a.key(20), 0o640))
	assert.Empty(t, known(a), "open to others")
	require.NoError(t, os.Chmod(a.key(20), 0o600))
	a.tunnels[0].Peer = "gcp-9"
	assert.Empty(t, known(a), "a peer with another name")
	require.NoError(t, os.WriteFile(b.key(20), []byte("x\n"), 0o600))
	assert.Empty(t, known(b), "broken")
	a.tunnels[0].Peer = "gcp-1"
	require.Len(t, known(a), 1)
	a.rekey()
	assert.Empty(t, known(a), "rebuilt")
}

// Whatever is in the two files of a tunnel: no panic, no error, and one run of
// the initiator leaves a key that it can seal.
func FuzzStore(f *testing.F) {
	f.Add([]byte(""), []byte(""))
	f.Add([]byte("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n"),
		[]byte(`{"made_by":"wgmesh.router","tunnel":20,"peer":"b","generation":9007199254740991}`))
	f.Add([]byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		[]byte(`{"made_by":"wgmesh.router","tunnel":20,"generation":-1}`))
	f.Add([]byte("rubbish"), []byte(`[1`))
	key, sealing := seal.NewWGPrivate(), seal.NewPrivateKey()
	peer := psk.Peer{
		Name: "b", PublicKey: seal.NewWGPrivate().Public().String(),
		SealingKey: seal.NewPrivateKey().Public().String(),
	}
	f.Fuzz(func(t *testing.T, text, record []byte) {
		dir := t.TempDir()
		w := psk.Want{
			Name: "a", Directory: dir,
			Tunnels: []plan.PresharedKey{{Number: 20, Peer: "b", Role: plan.Initiator}},
			Peers:   []psk.Peer{peer}, Now: time.Unix(9, 0),
		}
		for name, data := range map[string][]byte{
			"/20.psk": text, "/20.json": record, "/key": key.Encode(), "/seal": sealing.Encode(),
		} {
			require.NoError(t, os.WriteFile(dir+name, data, 0o600))
		}
		for run := range 2 {
			host := psk.Host{PrivateKeyFile: dir + "/key", SealingKeyFile: dir + "/seal"}
			have := must.Get(host.Observe(t.Context(), w))(t)
			delta := must.Get(host.Diff(w, have))(t)
			require.False(t, run == 1 && len(delta.Steps) > 0, "the second run changes something")
			out := must.Get(host.Apply(t.Context(), delta))(t)
			require.Len(t, out.Envelopes, 1)
			require.Positive(t, out.Held[0].Generation)
		}
	})
}

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
