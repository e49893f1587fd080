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

	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
)

func TestEnvelopesThatAreRefused(t *testing.T) {
	a, b := pair(t)
	b.tunnels = append(b.tunnels, psk.Tunnel{Number: 21, Peer: "office-1", Role: psk.Responder}, psk.Tunnel{Number: 22, Peer: "last", Role: psk.Initiator})
	c := newRouter(t, "office-1")
	_, out := a.run(true, nil, a, b)
	good := out.Envelopes[0]
	tests := []struct {
		name   string
		change func(e *psk.Envelope)
		want   string
	}{
		{"tampered", func(e *psk.Envelope) { e.Sealed = "AAAA" + e.Sealed[4:] }, "tunnel 20: envelope from office-2, generation 1700000000000: the envelope does not open"},
		{"cut", func(e *psk.Envelope) { e.Sealed = e.Sealed[:100] }, "is not base64 of 1168 bytes"},
		{"no base64", func(e *psk.Envelope) { e.Sealed = "?" }, "is not base64 of 1168 bytes"},
		{"another generation", func(e *psk.Envelope) { e.Generation++ }, "does not open"},
		{"generation 0", func(e *psk.Envelope) { e.Generation = 0 }, "envelopes[0].generation: expected 1 to"},
		{"another tunnel", func(e *psk.Envelope) { e.Tunnel, e.From = 21, "office-1" }, "tunnel 21: envelope from office-1, generation 1700000000000: the envelope does not open"},
		{"unknown tunnel", func(e *psk.Envelope) { e.Tunnel = 99 }, "envelopes[0]: from office-2 for tunnel 99, which is no tunnel of gcp-1"},
		{"another sender", func(e *psk.Envelope) { e.From = "office-1" }, "for tunnel 20, which is no tunnel"},
		{"tunnel we initiate", func(e *psk.Envelope) { e.Tunnel, e.From = 22, "last" }, "which is no tunnel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := good
			tt.change(&bad)
			tree := snapshot(t, b.dir)
			_, err := b.plan(false, []psk.Envelope{bad}, a, b, c)
			require.ErrorContains(t, err, tt.want)
			require.Equal(t, tree, snapshot(t, b.dir))
		})
	}
	_, err := b.plan(false, []psk.Envelope{good, good}, a, b)
	require.ErrorContains(t, err, "a second envelope for tunnel 20")

	known := a.peer.PublicKey
	a.peer.PublicKey = seal.NewWGPrivate().Public().String()
	_, err = b.plan(false, []psk.Envelope{good}, a, b)
	require.ErrorContains(t, err, "run the play again with both routers in it")
	a.peer.PublicKey = known

	other := good
	other.To = "somebody"
	delta, err := b.plan(false, []psk.Envelope{other}, a, b)
	require.NoError(t, err, "those of others are not looked at")
	assert.Len(t, delta.Pending, 1)
}

func TestReplayIsRefused(t *testing.T) {
	a, b := pair(t)
	_, old := a.run(true, nil, a, b)
	b.run(false, old.Envelopes, a, b)
	a.rotate = []string{"yes"}
	converge(t, a, b)

	_, err := b.plan(false, old.Envelopes, a, b)
	require.ErrorContains(t, err, "expected 1700000000001 or higher: an old envelope was sent again")
	require.ErrorContains(t, err, "remove "+b.record(20)+" here")

	// Not by losing the key either: the record alone holds the generation.
	remove(b.key(20))
	_, err = b.plan(false, old.Envelopes, a, b)
	require.ErrorContains(t, err, "an old envelope was sent again")

	// Nor after the initiator got new keys: it does not open, record or not.
	a.rekey()
	converge(t, a, b)
	remove(b.record(20))
	_, err = b.plan(false, old.Envelopes, a, b)
	require.ErrorContains(t, err, "does not open")
}

// The initiator lost its store and its clock is slow: refused with the way out.
func TestLostStoreAndSlowClock(t *testing.T) {
	a, b := pair(t)
	converge(t, a, b)
	remove(a.key(20), a.record(20))
	a.now = time.Unix(5, 0)
	_, out := a.run(true, nil, a, b)
	_, err := b.plan(false, out.Envelopes, a, b)
	require.ErrorContains(t, err, "its clock is slow")
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
	delta, err := a.plan(true, nil, a, b)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(a.key(20), 0o700)) // appears after planning
	out, done, err := delta.Apply()
	require.ErrorContains(t, err, "tunnel 20 to gcp-1")
	assert.Empty(t, done)
	assert.Empty(t, out.Envelopes, "no envelope for a key that is not on the disk")

	_, err = a.plan(true, nil, a, b)
	require.ErrorContains(t, err, "not a regular file")
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
		_, err := a.plan(true, nil, a, b)
		require.ErrorContains(t, err, path+" is a symbolic link")
		remove(path)
		write(path, string(keep))
	}
	require.NoError(t, os.Chmod(a.file("psk"), 0o770))
	_, err := a.plan(true, nil, a, b)
	require.ErrorContains(t, err, "other users can replace keys")
}

func TestBadPeers(t *testing.T) {
	a, b := pair(t)
	good := b.peer
	for want, change := range map[string]func(){
		"tunnel 20 to gcp-1: public key: expected base64": func() { b.peer.PublicKey = "x" },
		"tunnel 20 to gcp-1: sealing key: expected":       func() { b.peer.SealingKey = "x" },
		"has the same public key as this router":          func() { b.peer.PublicKey = a.peer.PublicKey },
	} {
		b.peer = good
		change()
		_, err := a.plan(true, nil, a, b)
		require.ErrorContains(t, err, want)
	}
	write(a.file("key"), "rubbish")
	_, err := psk.ReadSelf(a.file("key"), a.file("seal"))
	require.ErrorContains(t, err, "private_key_file "+a.file("key")+": expected base64")
}

func TestCheck(t *testing.T) {
	w := psk.Want{Name: "a", Directory: "psk", Tunnels: []psk.Tunnel{
		{Number: 0, Peer: "b", Role: psk.Initiator}, {Number: 2, Peer: "a", Role: psk.Responder}, {Number: 2, Peer: "c", Role: "boss"},
	}, Peers: []psk.Peer{{Name: "b"}, {Name: "b"}, {}}}
	err := w.Check()
	for _, want := range []string{
		`directory: expected an absolute path, got "psk"`, "tunnels[0].number: expected 1 or more", `tunnels[1].peer: expected the name of another router, got "a"`,
		"tunnels[2].number: 2 is already the tunnel to a", `tunnels[2].role: expected initiator or responder, got "boss"`,
		`peers[1].name: expected a name that no other peer has, got "b"`, `peers[2].name`,
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
			j, err := json.Marshal(v)
			require.NoError(t, err)
			out.Write(j)
		}
	}
	self, err := psk.ReadSelf(a.file("key"), a.file("seal"))
	require.NoError(t, err)
	sealed, first := a.run(true, nil, a, b)
	opened, err := b.plan(false, first.Envelopes, a, b) // holds the opened key, not stored yet
	require.NoError(t, err)
	show(self, sealed, &sealed, first, opened, &opened, opened.Steps)
	_, done, err := opened.Apply()
	require.NoError(t, err)
	have, err := psk.Observe(a.file("psk"), a.tunnels)
	require.NoError(t, err)
	show(done, have, &have)
	show(string(read(t, a.record(20))))

	for _, path := range []string{a.key(20), b.key(20), a.file("key"), a.file("seal"), b.file("key"), b.file("seal")} {
		text := strings.TrimSpace(strings.TrimPrefix(string(read(t, path)), "mlkem768-x25519:"))
		k, err := seal.ParsePSK([]byte(text)) // any 32 bytes
		require.NoError(t, err)
		raw := k.Encode()
		assert.False(t, strings.Contains(out.String(), string(raw[:16])), "%s shows", path)
	}
}
