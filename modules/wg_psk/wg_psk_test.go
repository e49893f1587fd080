package wgpsk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	wgpsk "github.com/wgmesh/router/modules/wg_psk"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
)

func TestOptions(t *testing.T) {
	var o wgpsk.Options
	require.NoError(t,
		ansible.Decode([]byte(`{"state":"sealed","name":"a","tunnels":[{"number":"20","peer":"b","role":"initiator"}],
		"peers":[{"name":"b","public_key":null,"sealing_key":null}],"rotate":true}`), &o))
	assert.Equal(t, wgpsk.Options{
		Want: psk.Want{
			Name: "a", Tunnels: []plan.PresharedKey{{Number: 20, Peer: "b", Role: "initiator"}},
			Peers: []psk.Peer{{Name: "b"}}, Directory: "/etc/wireguard/wgmesh-psk", Rotate: []string{"true"},
		},
		State: "sealed", PrivateKeyFile: "/etc/wireguard/wgmesh.key", SealingKeyFile: "/etc/wireguard/wgmesh.seal",
		InterfacePrefix: "wg", ControlSocket: "/run/bird/bird.ctl",
	}, o)
	for _, tt := range []struct{ task, want string }{
		{`{"state":"sealed"}`, "name: required option is missing"},
		{`{"name":"a"}`, `state: expected one of sealed, opened, got ""`},
		{
			`{"name":"a","state":"sealed","tunnels":[{"number":1,"peer":"b","rolle":"initiator"}]}`,
			`tunnels[0].rolle: unknown option; did you mean "role"?`,
		},
		{
			`{"name":"a","state":"sealed","tunnels":[{"number":1,"peer":"a","role":"initiator"}]}`,
			"tunnels[0].peer: expected the name of another router",
		},
		{
			`{"name":"a","state":"sealed","envelopes":[{"tunnel":1,"to":"x"}]}`,
			"envelopes: only with state: opened",
		},
		{
			`{"name":"a","state":"opened","envelopes":[{"tunnel":1,"from":"b","to":"a","generation":1.5}]}`,
			"envelopes[0].generation: expected an integer",
		},
		{
			`{"name":"a","state":"opened","envelopes":[{"tunnel":1,"from":"b","to":"a","generation":1e400}]}`,
			"envelopes[0].generation",
		},
	} {
		var o wgpsk.Options
		require.ErrorContains(t, ansible.Decode([]byte(tt.task), &o), tt.want)
	}
}

// host writes the keys of a router and returns its options and what it tells.
func host(t *testing.T, name, peer, role string) (wgpsk.Options, psk.Peer) {
	t.Helper()
	dir := t.TempDir()
	k, s := seal.NewWGPrivate(), seal.NewPrivateKey()
	o := wgpsk.Options{
		Want: psk.Want{
			Name: name, Tunnels: []plan.PresharedKey{{Number: 20, Peer: peer, Role: role}},
			Directory: filepath.Join(dir, "psk"),
		},
		PrivateKeyFile: filepath.Join(dir, "key"), SealingKeyFile: filepath.Join(dir, "seal"),
	}
	require.NoError(t, os.WriteFile(o.PrivateKeyFile, k.Encode(), 0o600))
	require.NoError(t, os.WriteFile(o.SealingKeyFile, s.Encode(), 0o600))
	return o, psk.Peer{Name: name, PublicKey: k.Public().String(), SealingKey: s.Public().String()}
}

// The two tasks of a play: what one returns goes into the other as JSON.
func TestPlan(t *testing.T) {
	a, tellA := host(t, "a", "b", "initiator")
	b, tellB := host(t, "b", "a", "responder")
	a.State, b.State = "sealed", "opened"
	a.Peers = []psk.Peer{tellA, tellB}
	b.Peers = a.Peers
	var seen strings.Builder

	p := must.Get(wgpsk.Plan(context.Background(), a))(t)
	assert.True(t, p.Changed)
	assert.JSONEq(t, `{"pending":[],"psks":[],"envelopes":[]}`, text(t, p.Return), "what check mode returns")
	assert.NoDirExists(t, a.Directory)
	out := must.Get(p.Apply(context.Background()))(t)
	p.Report(out.Return)
	fmt.Fprint(&seen, out.Done, text(t, p.Return), text(t, p.Before), text(t, p.After))

	for run, changed := range []bool{true, false} {
		require.NoError(t, json.Unmarshal([]byte(text(t, p.Return["envelopes"])), &b.Envelopes))
		require.Len(t, b.Envelopes, 1)
		q := must.Get(wgpsk.Plan(context.Background(), b))(t)
		assert.Equal(t, changed, q.Changed)
		if changed {
			out = must.Get(q.Apply(context.Background()))(t)
			q.Report(out.Return)
		}
		assert.NotContains(t, q.Return, "envelopes")
		assert.JSONEq(t, strings.ReplaceAll(text(t, p.Return["psks"]), `"b"`, `"a"`),
			text(t, q.Return["psks"]), "both ends report the same id")
		fmt.Fprint(&seen, out.Done, text(t, q.Return), text(t, q.Before), text(t, q.After))

		p = must.Get(wgpsk.Plan(context.Background(), a))(t)
		assert.False(t, p.Changed, "run %d", run)
		assert.Equal(t, p.Before, p.After)
	}
	for _, path := range []string{
		a.Directory + "/20.psk", b.Directory + "/20.psk", a.PrivateKeyFile, b.PrivateKeyFile, b.SealingKeyFile,
	} {
		secret := must.Get(os.ReadFile(path))(t)
		assert.False(t, strings.Contains(seen.String(), string(secret[:24])), "%s shows", path)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	return string(must.Get(json.Marshal(v))(t))
}
