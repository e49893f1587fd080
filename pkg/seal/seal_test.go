package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal"
)

// A pair of routers with one tunnel, and one pre-shared key.
type pair struct {
	a, b    seal.WGPrivate
	sealing seal.PrivateKey // of b
	psk     seal.PSK
	bound   seal.Binding
}

func newPair() pair {
	p := pair{a: seal.NewWGPrivate(), b: seal.NewWGPrivate(), sealing: seal.NewPrivateKey(), psk: seal.NewPSK()}
	p.bound = seal.Binding{
		Initiator: seal.End{Name: "office-1", Key: p.a.Public()}, Responder: seal.End{Name: "gcp-1", Key: p.b.Public()},
		Tunnel: 16, Generation: 3,
	}
	return p
}

func TestSealOpen(t *testing.T) {
	p := newPair()
	first := must.Get(seal.Seal(p.sealing.Public(), p.a, p.bound, p.psk))(t)
	second := must.Get(seal.Seal(p.sealing.Public(), p.a, p.bound, p.psk))(t)
	assert.NotEqual(t, first, second, "an envelope is never the same twice")
	for _, sealed := range []string{first, second} {
		got := must.Get(seal.Open(p.sealing, p.b, p.bound, sealed))(t)
		assert.Equal(t, p.psk.Encode(), got.Encode())
		assert.Equal(t, p.psk.ID(), got.ID())
	}
}

// An envelope opens with the binding and the keys it was made with, and with nothing else.
func TestOpenRefusesAnotherBinding(t *testing.T) {
	p := newPair()
	sealed := must.Get(seal.Seal(p.sealing.Public(), p.a, p.bound, p.psk))(t)
	tests := map[string]func(b *seal.Binding){
		"tunnel number":    func(b *seal.Binding) { b.Tunnel++ },
		"lower generation": func(b *seal.Binding) { b.Generation-- },
		"next generation":  func(b *seal.Binding) { b.Generation++ },
		"initiator's name": func(b *seal.Binding) { b.Initiator.Name = "office-2" },
		"responder's name": func(b *seal.Binding) { b.Responder.Name = "gcp-2" },
		"initiator's key":  func(b *seal.Binding) { b.Initiator.Key = seal.NewWGPrivate().Public() },
		"names swapped": func(b *seal.Binding) {
			b.Initiator.Name, b.Responder.Name = b.Responder.Name, b.Initiator.Name
		},
		"names that join to the same text": func(b *seal.Binding) {
			b.Initiator.Name, b.Responder.Name = "office-1g", "cp-1"
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			b := p.bound
			change(&b)
			require.ErrorIs(t, must.Err(seal.Open(p.sealing, p.b, b, sealed)), seal.ErrNotOpened)
		})
	}
}

func TestOpenRefusesOtherKeys(t *testing.T) {
	p := newPair()
	sealed := must.Get(seal.Seal(p.sealing.Public(), p.a, p.bound, p.psk))(t)

	_, err := seal.Open(seal.NewPrivateKey(), p.b, p.bound, sealed)
	require.ErrorIs(t, err, seal.ErrNotOpened, "another sealing key")

	other := p.bound
	stranger := seal.NewWGPrivate()
	other.Responder.Key = stranger.Public()
	_, err = seal.Open(p.sealing, stranger, other, sealed)
	require.ErrorIs(t, err, seal.ErrNotOpened, "another responder, with the right sealing key")

	_, err = seal.Open(p.sealing, stranger, p.bound, sealed)
	require.ErrorContains(t, err, "not that of the responder gcp-1")
	require.Error(t, must.Err(seal.Open(seal.PrivateKey{}, p.b, p.bound, sealed)))
}

// HPKE's base mode lets anybody seal. The Diffie-Hellman secret of the WireGuard
// keys must not: a stranger who claims to be the initiator gets nowhere.
func TestStrangerCannotSealForAnInitiator(t *testing.T) {
	p := newPair()
	stranger := seal.NewWGPrivate()
	_, err := seal.Seal(p.sealing.Public(), stranger, p.bound, p.psk)
	require.ErrorContains(t, err, "not that of the initiator office-1")

	forged := p.bound
	forged.Initiator.Key = stranger.Public()
	sealed := must.Get(seal.Seal(p.sealing.Public(), stranger, forged, p.psk))(t)
	require.ErrorIs(t, must.Err(seal.Open(p.sealing, p.b, p.bound, sealed)), seal.ErrNotOpened)
}

// The other half: whoever swaps the responder's sealing key for their own, but
// has neither WireGuard private key, cannot read what is sealed.
func TestSwappedSealingKeyReadsNothing(t *testing.T) {
	p := newPair()
	thief := seal.NewPrivateKey()
	sealed := must.Get(seal.Seal(thief.Public(), p.a, p.bound, p.psk))(t)
	other, key := p.bound, seal.NewWGPrivate()
	other.Responder.Key = key.Public()
	require.ErrorIs(t, must.Err(seal.Open(thief, key, other, sealed)), seal.ErrNotOpened)
}

func TestOpenRefusesTampering(t *testing.T) {
	p := newPair()
	sealed := must.Get(seal.Seal(p.sealing.Public(), p.a, p.bound, p.psk))(t)
	raw := must.Get(base64.StdEncoding.DecodeString(sealed))(t)
	for i := 0; i < len(raw); i += 13 {
		bad := append([]byte{}, raw...)
		bad[i] ^= 1
		_, err := seal.Open(p.sealing, p.b, p.bound, base64.StdEncoding.EncodeToString(bad))
		require.Error(t, err, "byte %d", i)
	}
	for _, bad := range []string{
		"", "!", sealed[:len(sealed)-4], sealed + "AAAA", sealed[4:], strings.ToLower(sealed),
	} {
		require.Error(t, must.Err(seal.Open(p.sealing, p.b, p.bound, bad)))
	}
}

func TestSealRefuses(t *testing.T) {
	p := newPair()
	tests := map[string]struct {
		change func(b *seal.Binding)
		want   string
	}{
		"no name":         {func(b *seal.Binding) { b.Responder.Name = "" }, "need a name"},
		"same name":       {func(b *seal.Binding) { b.Responder.Name = "office-1" }, "both ends are office-1"},
		"no key":          {func(b *seal.Binding) { b.Responder.Key = plan.PublicKey{} }, "need a public key"},
		"cloned router":   {func(b *seal.Binding) { b.Responder.Key = b.Initiator.Key }, "regenerate: always"},
		"tunnel 0":        {func(b *seal.Binding) { b.Tunnel = 0 }, "tunnel number 0"},
		"generation 0":    {func(b *seal.Binding) { b.Generation = 0 }, "generation 0"},
		"low-order point": {func(b *seal.Binding) { b.Responder.Key = plan.PublicKey{1} }, "is not usable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := p.bound
			tt.change(&b)
			require.ErrorContains(t, must.Err(seal.Seal(p.sealing.Public(), p.a, b, p.psk)), tt.want)
		})
	}
	require.Error(t, must.Err(seal.Seal(p.sealing.Public(), p.a, p.bound, seal.PSK{})), "no key")
	require.ErrorContains(t, must.Err(seal.Seal(seal.PublicKey{}, p.a, p.bound, p.psk)), "sealing key of gcp-1")
}

func TestSealingKeyText(t *testing.T) {
	k := seal.NewPrivateKey()
	got := must.Get(seal.ParsePrivateKey(k.Encode()))(t)
	assert.Equal(t, k.Public().String(), got.Public().String())

	pub := must.Get(seal.ParsePublicKey(k.Public().String()))(t)
	assert.Equal(t, k.Public(), pub)
	assert.Len(t, pub.String(), 1624)
	assert.Regexp(t, `^sha256:[0-9a-f]{16}$`, pub.Fingerprint())

	for _, bad := range []string{"", "AAAA", "%", k.Public().String()[4:]} {
		require.ErrorContains(t, must.Err(seal.ParsePublicKey(bad)), "sealing key: expected")
	}
	_, err := seal.ParsePrivateKey(seal.NewWGPrivate().Encode())
	require.ErrorContains(t, err, "mlkem768-x25519:", "a WireGuard key is no sealing key")
	require.Error(t, must.Err(seal.ParseWGPrivate(k.Encode())), "and the other way round")
}

func TestWGKey(t *testing.T) {
	// RFC 7748 section 6.1, Alice.
	private := "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
	k := must.Get(seal.ParseWGPrivate([]byte(private + "\n")))(t)
	assert.Equal(t, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", k.Public().String())
	assert.Equal(t, private+"\n", string(k.Encode()))

	for range 100 {
		raw := must.Get(base64.StdEncoding.DecodeString(strings.TrimSpace(string(seal.NewWGPrivate().Encode()))))(t)
		assert.Zero(t, raw[0]&7)
		assert.Equal(t, byte(64), raw[31]&0xc0)
	}
	pub := must.Get(plan.ParsePublicKey(k.Public().String()))(t)
	assert.Equal(t, k.Public(), pub)
	for _, bad := range []string{
		"", "x", pub.String() + "\n", " " + pub.String(),
		strings.Repeat("A", 43) + "=", strings.Repeat("A", 43) + "B",
	} {
		require.ErrorContains(t, must.Err(plan.ParsePublicKey(bad)), "not a WireGuard public key")
	}
	assert.Empty(t, plan.PublicKey{}.String())
	assert.Equal(t, plan.PublicKey{}, seal.WGPrivate{}.Public())
}

func TestPSK(t *testing.T) {
	k := seal.NewPSK()
	got := must.Get(seal.ParsePSK(k.Encode()))(t)
	assert.Regexp(t, `^[0-9a-f]{8}$`, k.ID())
	assert.Equal(t, k.ID(), got.ID())
	assert.NotEqual(t, k.ID(), seal.NewPSK().ID())

	require.ErrorContains(t, must.Err(seal.ParsePSK([]byte(strings.Repeat("A", 43)+"="))), "all zeros")

	k.Wipe()
	assert.True(t, k.IsZero())
	assert.Empty(t, k.ID())
	seal.PSK{}.Wipe()
	assert.Nil(t, seal.PSK{}.Encode())
}

// Nobody gets to see a secret by printing or marshalling the types that hold
// one, nor a struct of somebody else's that does so in an unexported field.
func TestSecretsDoNotShow(t *testing.T) {
	psk, wg, sealing := seal.NewPSK(), seal.NewWGPrivate(), seal.NewPrivateKey()
	type holder struct {
		PSK    seal.PSK
		hidden seal.WGPrivate
		ptr    *seal.PrivateKey
		any    any
	}
	values := []any{
		psk, &psk, wg, &wg, sealing, &sealing,
		holder{psk, wg, &sealing, psk},
		&holder{psk, wg, &sealing, psk},
		[]seal.PSK{psk},
		map[string]seal.WGPrivate{"k": wg},
	}
	secrets := shapes(psk.Encode(), wg.Encode(), sealing.Encode())
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%T"} {
			assertHidden(t, secrets, fmt.Sprintf(verb, v))
		}
		assertHidden(t, secrets, string(must.Get(json.Marshal(v))(t)))
		assertHidden(t, secrets, string(must.Get(yaml.Marshal(v))(t)))
	}
	assert.Equal(t, seal.Redacted, fmt.Sprint(psk))
	assert.JSONEq(t, `{"k":"[redacted]"}`, string(must.Get(json.Marshal(map[string]any{"k": wg}))(t)))
}

// shapes returns the forms in which a secret could show up in text.
func shapes(files ...[]byte) []string {
	var out []string
	for _, f := range files {
		_, text, found := strings.Cut(strings.TrimSpace(string(f)), ":")
		if !found {
			text = strings.TrimSpace(string(f))
		}
		raw, _ := base64.StdEncoding.DecodeString(text)
		out = append(out, text[:20], fmt.Sprintf("%x", raw[4:12]), fmt.Sprintf("%X", raw[4:12]),
			strings.Trim(fmt.Sprint(raw[4:12]), "[]"), fmt.Sprintf("%q", raw[4:12]))
	}
	return out
}

func assertHidden(t *testing.T, secrets []string, text string) {
	t.Helper()
	for i, s := range secrets {
		if strings.Contains(text, s) { // the text itself must not get into the test's output
			assert.Fail(t, "a secret shows", "shape %d of the list", i)
		}
	}
}

// The law of the canary: it would have seen a secret that shows.
func TestShapesFindASecret(t *testing.T) {
	k := seal.NewPSK().Encode()
	raw := must.Get(base64.StdEncoding.DecodeString(strings.TrimSpace(string(k))))(t)
	want := shapes(k)
	for _, text := range []string{string(k), fmt.Sprintf("%x", raw), fmt.Sprintf("%X", raw), fmt.Sprint(raw)} {
		found := false
		for _, s := range want {
			found = found || strings.Contains(text, s)
		}
		assert.True(t, found)
	}
}

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

// The initiator seals a pre-shared key for the responder. Only the responder can open
// the envelope, and only for the tunnel and the generation it was sealed for.
func ExampleSeal() {
	initiator, responder := seal.NewWGPrivate(), seal.NewWGPrivate()
	sealing := seal.NewPrivateKey() // the responder's
	b := seal.Binding{
		Initiator:  seal.End{Name: "office-1", Key: initiator.Public()},
		Responder:  seal.End{Name: "azure-1", Key: responder.Public()},
		Tunnel:     2,
		Generation: 1,
	}
	psk := seal.NewPSK()
	envelope, err := seal.Seal(sealing.Public(), initiator, b, psk)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = seal.Open(sealing, responder, b, envelope)
	fmt.Println("for this tunnel:", err)
	b.Tunnel = 4
	_, err = seal.Open(sealing, responder, b, envelope)
	fmt.Println("for another one, not opened:", errors.Is(err, seal.ErrNotOpened))
	fmt.Println("a key prints as", psk)
	// Output:
	// for this tunnel: <nil>
	// for another one, not opened: true
	// a key prints as [redacted]
}
