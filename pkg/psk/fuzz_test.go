package psk_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
)

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
