package seal_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/seal"
)

// goldenPair reads keys, pre-shared key and envelope that were made once.
func goldenPair(tb testing.TB) (p pair, sealed string) {
	tb.Helper()
	raw := must.Get(os.ReadFile("testdata/envelope-v1.json"))(tb)
	var g map[string]string
	require.NoError(tb, json.Unmarshal(raw, &g))
	p.a = must.Get(seal.ParseWGPrivate([]byte(g["initiator_key"])))(tb)
	p.b = must.Get(seal.ParseWGPrivate([]byte(g["responder_key"])))(tb)
	p.sealing = must.Get(seal.ParsePrivateKey([]byte(g["sealing_key"])))(tb)
	p.psk = must.Get(seal.ParsePSK([]byte(g["psk"])))(tb)
	require.Equal(tb, g["psk_id"], p.psk.ID())
	p.bound = newPair().bound
	p.bound.Initiator.Key, p.bound.Responder.Key = p.a.Public(), p.b.Public()
	return p, g["envelope"]
}

// Routers of different versions of this project have to understand each other:
// an envelope of protocol v1 opens for as long as there is a v1.
func TestEnvelopeV1(t *testing.T) {
	p, sealed := goldenPair(t)
	got := must.Get(seal.Open(p.sealing, p.b, p.bound, sealed))(t)
	require.Equal(t, p.psk.ID(), got.ID())
}

// Whatever is in an envelope: no panic, and nothing but the very envelope opens.
func FuzzOpen(f *testing.F) {
	p, sealed := goldenPair(f) // every fuzz worker has to have the same keys
	f.Add(sealed, "office-1", 16, int64(3))
	f.Add(sealed, "office-1", 16, int64(4))
	f.Add(sealed[:40], "office-1", 16, int64(3))
	f.Add("", "", 0, int64(0))
	f.Add("A"+sealed[1:], "office-1", -1, int64(-1))
	f.Fuzz(func(t *testing.T, text, from string, tunnel int, generation int64) {
		b := p.bound
		b.Initiator.Name, b.Tunnel, b.Generation = from, tunnel, generation
		got, err := seal.Open(p.sealing, p.b, b, text)
		// base64 allows line ends inside
		same := strings.NewReplacer("\n", "", "\r", "").Replace(text) == sealed && b == p.bound
		require.Equal(t, same, err == nil)
		if same {
			require.Equal(t, p.psk.ID(), got.ID())
		}
	})
}

// A key that parses is written back as it was, but for white space at the end.
func FuzzParseKeyFile(f *testing.F) {
	f.Add(seal.NewWGPrivate().Encode())
	f.Add(seal.NewPrivateKey().Encode())
	f.Add([]byte("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo= \r\n\n"))
	f.Add([]byte("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCp="))
	f.Add([]byte("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC\no"))
	f.Add([]byte("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCoA"))
	f.Add([]byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, parse := range []func([]byte) (interface{ Encode() []byte }, error){
			func(b []byte) (interface{ Encode() []byte }, error) { return seal.ParseWGPrivate(b) },
			func(b []byte) (interface{ Encode() []byte }, error) { return seal.ParsePSK(b) },
			func(b []byte) (interface{ Encode() []byte }, error) { return seal.ParsePrivateKey(b) },
		} {
			k, err := parse(text)
			if err == nil {
				require.True(t,
					bytes.Equal(bytes.TrimRight(text, " \t\r\n"), bytes.TrimSuffix(k.Encode(), []byte("\n"))))
			}
		}
	})
}
