package psk_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
)

// refusals are the tunnels that wait because of what their peer told.
func refusals(d psk.Delta) []string {
	var out []string
	for _, p := range d.Pending {
		if p.Refused {
			out = append(out, fmt.Sprintf("%d %s", p.Tunnel, p.Reason))
		}
	}
	return out
}

func TestEnvelopesThatAreRefused(t *testing.T) {
	a, b := pair(t)
	b.tunnels = append(b.tunnels,
		plan.PresharedKey{Number: 21, Peer: "office-1", Role: plan.Responder},
		plan.PresharedKey{Number: 22, Peer: "last", Role: plan.Initiator})
	c := newRouter(t, "office-1")
	_, out := a.run(true, nil, a, b)
	good := out.Envelopes[0]
	for _, tt := range []struct {
		name   string
		change func(e *psk.Envelope)
		want   string
	}{
		{"tampered", func(e *psk.Envelope) {
			e.Sealed = "AAAA" + e.Sealed[4:]
		}, "20 office-2: its envelope of generation 1700000000000: the envelope does not open"},
		{"cut", func(e *psk.Envelope) { e.Sealed = e.Sealed[:100] }, "is not base64 of 1168 bytes"},
		{"no base64", func(e *psk.Envelope) { e.Sealed = "?" }, "is not base64 of 1168 bytes"},
		{"another generation", func(e *psk.Envelope) { e.Generation++ }, "does not open"},
		{"generation 0", func(e *psk.Envelope) {
			e.Generation = 0
		}, "20 office-2: its envelope has generation 0: expected 1 to"},
		{"another tunnel", func(e *psk.Envelope) {
			e.Tunnel, e.From = 21, "office-1"
		}, "21 office-1: its envelope of generation 1700000000000: the envelope does not open"},
		{"unknown tunnel", func(e *psk.Envelope) {
			e.Tunnel = 99
		}, "20 office-2: it sent an envelope for tunnel 99: expected one for tunnel 20, which it initiates"},
		{"another's tunnel", func(e *psk.Envelope) {
			e.Tunnel = 21
		}, "20 office-2: it sent an envelope for tunnel 21: expected one for tunnel 20"},
		{"another sender", func(e *psk.Envelope) {
			e.From = "office-1"
		}, "21 office-1: it sent an envelope for tunnel 20: expected one for tunnel 21"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := good
			tt.change(&bad)
			tree := must.Tree(t, b.dir)
			delta := must.Get(b.plan(false, []psk.Envelope{bad}, a, b, c))(t, "the others' tunnels go on")
			assert.Empty(t, delta.Steps)
			require.Len(t, refusals(delta), 1)
			assert.Contains(t, refusals(delta)[0], tt.want)
			require.Equal(t, tree, must.Tree(t, b.dir))
		})
	}
	delta := must.Get(b.plan(false, []psk.Envelope{good, good}, a, b))(t)
	assert.Equal(t, []string{"20 office-2: it sent a second envelope for tunnel 20: expected one"}, refusals(delta))
	ours := good
	ours.Tunnel, ours.From = 22, "last"
	delta = must.Get(b.plan(false, []psk.Envelope{good, ours}, a, b))(t)
	assert.Empty(t, delta.Pending, "an envelope for a tunnel that we initiate is nobody's")
	assert.Len(t, delta.Steps, 1)

	known := a.peer.PublicKey
	a.peer.PublicKey = seal.NewWGPrivate().Public().String()
	delta = must.Get(b.plan(false, []psk.Envelope{good}, a, b))(t)
	require.Contains(t, strings.Join(refusals(delta), ""), "run the play again with both routers in it")
	a.peer.PublicKey = known

	other := good
	other.To = "somebody"
	delta = must.Get(b.plan(false, []psk.Envelope{other}, a, b))(t, "those of others are not looked at")
	assert.Len(t, delta.Pending, 1)
}

func TestReplayIsRefused(t *testing.T) {
	a, b := pair(t)
	_, old := a.run(true, nil, a, b)
	b.run(false, old.Envelopes, a, b)
	a.rotate = []string{"yes"}
	converge(t, a, b)

	replayed := func() string {
		t.Helper()
		delta := must.Get(b.plan(false, old.Envelopes, a, b))(t)
		require.Empty(t, delta.Steps)
		require.Len(t, refusals(delta), 1)
		return refusals(delta)[0]
	}
	require.Contains(t, replayed(),
		"from a backup, by a slow clock of office-2 or sent again (generation 1700000000000, ")
	require.Contains(t, replayed(),
		"expected 1700000000001 or higher): run the mesh play for both; else remove "+b.record(20))

	// Not by losing the key either: the record alone holds the generation.
	remove(b.key(20))
	require.Contains(t, replayed(), "its envelope is an old one")

	// Nor after the initiator got new keys: it does not open, record or not.
	a.rekey()
	converge(t, a, b)
	remove(b.record(20))
	require.Contains(t, replayed(), "does not open")
}

// The initiator lost its store and its clock is slow: refused with the way out.
func TestLostStoreAndSlowClock(t *testing.T) {
	a, b := pair(t)
	converge(t, a, b)
	remove(a.key(20), a.record(20))
	a.now = time.Unix(5, 0)
	_, out := a.run(true, nil, a, b)
	delta := must.Get(b.plan(false, out.Envelopes, a, b))(t)
	require.Contains(t, strings.Join(refusals(delta), ""), "by a slow clock of office-2")
	remove(b.record(20))
	converge(t, a, b)
}

// A crash between the record and the key, on either end and for each kind of
// step, is mended by the next run, and no generation is used twice.
func TestCrashBetweenRecordAndKey(t *testing.T) {
	for name, at := range map[string]func(a, b *router) *router{
		"initiator": func(a, _ *router) *router { return a },
		"responder": func(_, b *router) *router { return b },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			_, _, first := converge(t, a, b)
			r := at(a, b)
			old := read(t, r.key(20))
			a.rotate = []string{"all"}
			_, _, second := converge(t, a, b)
			write(r.key(20), string(old)) // the record is new, the key is old
			_, _, third := converge(t, a, b)
			assert.GreaterOrEqual(t, third.Generation, second.Generation)
			assert.NotEqual(t, first.PSKID, third.PSKID)
			if r == a {
				assert.Greater(t, third.Generation, second.Generation)
			}

			remove(r.key(20)) // the very first key: the record is there, no key
			_, _, fourth := converge(t, a, b)
			assert.GreaterOrEqual(t, fourth.Generation, third.Generation)
		})
	}
}

// A write that fails says so, and the next run converges.
func TestApplyFailsHalfWay(t *testing.T) {
	a, b := pair(t)
	require.NoError(t, os.Mkdir(a.file("psk"), 0o700))
	delta := must.Get(a.plan(true, nil, a, b))(t)
	require.NoError(t, os.Mkdir(a.key(20), 0o700)) // appears after planning
	out, err := psk.Host{}.Apply(t.Context(), delta)
	require.ErrorContains(t, err, "tunnel 20 to gcp-1")
	assert.Empty(t, out.Done)
	assert.Empty(t, out.Envelopes, "no envelope for a key that is not on the disk")

	require.ErrorContains(t, must.Err(a.plan(true, nil, a, b)), "not a regular file")
	require.NoError(t, os.Remove(a.key(20)))
	converge(t, a, b)
}

func TestOddFilesAreRefused(t *testing.T) {
	a, b := pair(t)
	converge(t, a, b)
	for _, path := range []string{a.key(20), a.record(20)} {
		keep := read(t, path)
		remove(path)
		require.NoError(t, os.Symlink("/etc/hostname", path))
		require.ErrorContains(t, must.Err(a.plan(true, nil, a, b)), path+" is a symbolic link")
		remove(path)
		write(path, string(keep))
	}
	require.NoError(t, os.Chmod(a.file("psk"), 0o770))
	require.ErrorContains(t, must.Err(a.plan(true, nil, a, b)), "other users can replace keys")
}

// What one peer tells of itself is wrong for its own tunnel and for no other.
func TestBadPeers(t *testing.T) {
	a, b := pair(t)
	c := newRouter(t, "aws-1")
	a.tunnels = append(a.tunnels, plan.PresharedKey{Number: 19, Peer: "aws-1", Role: plan.Initiator}, plan.PresharedKey{
		Number: 21, Peer: "azure-1", Role: plan.Responder,
	})
	d := newRouter(t, "azure-1", plan.PresharedKey{Number: 21, Peer: "office-2", Role: plan.Initiator})
	good, last := b.peer, d.peer
	low := "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=" // a point of order 8 (RFC 7748 section 6.1)
	for name, test := range map[string]struct {
		change func(*psk.Peer)
		want   string
		both   bool // a responder's tunnel as well
	}{
		"rubbish": {func(p *psk.Peer) {
			p.PublicKey = "x"
		}, "not a WireGuard public key: expected 44 characters", true},
		"low order": {func(p *psk.Peer) {
			p.PublicKey = low
		}, "not a WireGuard public key, but a point of low order", true},
		"zero": {func(p *psk.Peer) {
			p.PublicKey = strings.Repeat("A", 43) + "="
		}, "not a WireGuard public key, but a point of low order", true},
		"our own": {func(p *psk.Peer) {
			p.PublicKey = a.peer.PublicKey
		}, "it has the same public key as this router", true},
		"sealing rubbish": {func(p *psk.Peer) { p.SealingKey = "x" }, "sealing key: expected", false},
		"sealing cut":     {func(p *psk.Peer) { p.SealingKey = p.SealingKey[:400] }, "sealing key: expected", false},
		"sealing not a key": {func(p *psk.Peer) {
			p.SealingKey = strings.Repeat("/", 1621) + "8=="
		}, "sealing key: expected", false},
	} {
		t.Run(name, func(t *testing.T) {
			b.peer, d.peer = good, last
			test.change(&b.peer)
			test.change(&d.peer)
			delta := must.Get(a.plan(true, nil, a, b, c, d))(t)
			require.Len(t, refusals(delta), 1)
			assert.Contains(t, refusals(delta)[0], "20 gcp-1: "+test.want)
			require.Len(t, delta.Steps, 1)
			assert.Equal(t, 19, delta.Steps[0].Tunnel, "the tunnel to aws-1 gets its key")

			delta = must.Get(a.plan(false, nil, a, b, c, d))(t)
			if test.both {
				require.Len(t, refusals(delta), 1)
				assert.Contains(t, refusals(delta)[0], "21 azure-1: "+test.want)
			}
		})
	}
	b.peer = good

	// Two that claim one name: nothing tells which is the router.
	delta := must.Get(a.plan(true, nil, a, b, b, c))(t)
	assert.Equal(t, []string{"20 gcp-1: 2 routers are called so: give each its own name"}, refusals(delta))
	assert.Len(t, delta.Steps, 1)

	// The key of a third one opens nothing and harms nobody.
	b.peer.PublicKey = c.peer.PublicKey
	delta = must.Get(a.plan(true, nil, a, b, c))(t)
	assert.Len(t, delta.Steps, 2)
	b.peer = good

	write(a.file("key"), "rubbish")
	_, err := psk.ReadSelf(a.file("key"), a.file("seal"))
	require.ErrorContains(t, err, "private_key_file "+a.file("key")+": expected base64")
}

func TestCheck(t *testing.T) {
	w := psk.Want{Name: "a", Directory: "psk", Tunnels: []plan.PresharedKey{
		{Number: 0, Peer: "b", Role: plan.Initiator},
		{Number: 2, Peer: "a", Role: plan.Responder},
		{Number: 2, Peer: "c", Role: "boss"},
	}}
	err := w.Validate()
	for _, want := range []string{
		`directory: expected an absolute path, got "psk"`, "tunnels[0].number: expected 1 or more",
		`tunnels[1].peer: expected the name of another router, got "a"`,
		"tunnels[2].number: 2 is already the tunnel to a",
		`tunnels[2].role: expected initiator or responder, got "boss"`,
	} {
		require.ErrorContains(t, err, want)
	}
}

// No key in anything that is exported, however it is printed.
func TestNothingShowsAKey(t *testing.T) {
	a, b := pair(t)
	var out strings.Builder
	show := func(values ...any) {
		for _, v := range values {
			fmt.Fprintf(&out, "%v %+v %#v %s %x %d", v, v, v, v, v, v)
			out.Write(must.Get(json.Marshal(v))(t))
		}
	}
	self := must.Get(psk.ReadSelf(a.file("key"), a.file("seal")))(t)
	sealed, first := a.run(true, nil, a, b)
	opened, err := b.plan(false, first.Envelopes, a, b) // holds the opened key, not stored yet
	require.NoError(t, err)
	show(self, sealed, &sealed, first, opened, &opened, opened.Steps)
	out2 := must.Get(psk.Host{}.Apply(t.Context(), opened))(t)
	have, err := psk.Host{PrivateKeyFile: a.file("key"), SealingKeyFile: a.file("seal")}.Observe(t.Context(), psk.Want{
		Directory: a.file("psk"), Tunnels: a.tunnels,
	})
	require.NoError(t, err)
	show(out2, have, &have)
	show(string(read(t, a.record(20))))

	for _, path := range []string{a.key(20), b.key(20), a.file("key"), a.file("seal"), b.file("key"), b.file("seal")} {
		text := strings.TrimSpace(strings.TrimPrefix(string(read(t, path)), "mlkem768-x25519:"))
		k, err := seal.ParsePSK([]byte(text)) // any 32 bytes
		require.NoError(t, err)
		raw := k.Encode()
		assert.False(t, strings.Contains(out.String(), string(raw[:16])), "%s shows", path)
	}
}
