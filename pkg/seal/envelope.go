package seal

import (
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wgmesh/router/pkg/plan"
)

// protocol names this use of HPKE. A change of the ciphersuite, of Binding or
// of its encoding needs a new name.
const protocol = "wgmesh.router/psk-envelope/v1"

// envelopeSize is the length of an envelope: the KEM's 1120 bytes, the key, the AEAD's tag.
const envelopeSize = 1120 + keySize + 16

// An End is one end of a tunnel.
type End struct {
	Name string         // the router's inventory name
	Key  plan.PublicKey // its WireGuard public key
}

// A Binding is what an envelope is for. An envelope opens only with the very
// binding it was sealed with.
type Binding struct {
	Initiator, Responder End
	Tunnel               int   // number of the tunnel, from 1
	Generation           int64 // of the pre-shared key, from 1
}

func (b Binding) check() error {
	switch {
	case b.Initiator.Name == "" || b.Responder.Name == "":
		return errors.New("both routers need a name")
	case b.Initiator.Name == b.Responder.Name:
		return fmt.Errorf("both ends are %s", b.Initiator.Name)
	case b.Initiator.Key == (plan.PublicKey{}) || b.Responder.Key == (plan.PublicKey{}):
		return errors.New("both routers need a public key")
	case b.Initiator.Key == b.Responder.Key:
		return fmt.Errorf("%s and %s have the same public key: one is a copy of the other; "+
			"make new keys with wg_keypair, regenerate: always", b.Initiator.Name, b.Responder.Name)
	case b.Tunnel < 1:
		return fmt.Errorf("tunnel number %d, expected 1 or more", b.Tunnel)
	case b.Generation < 1:
		return fmt.Errorf("generation %d, expected 1 or more", b.Generation)
	}
	return nil
}

// info encodes the binding and the Diffie-Hellman secret of the two WireGuard keys. Every field is
// preceded by its length, so no two bindings have the same encoding. The caller wipes it.
func (b Binding) info(shared []byte) []byte {
	number := binary.BigEndian.AppendUint64(nil, uint64(b.Tunnel))
	generation := binary.BigEndian.AppendUint64(nil, uint64(b.Generation))
	fields := [][]byte{
		[]byte(protocol),
		[]byte(b.Initiator.Name), b.Initiator.Key[:],
		[]byte(b.Responder.Name), b.Responder.Key[:],
		number, generation, shared,
	}
	size := 0
	for _, f := range fields {
		size += 4 + len(f)
	}
	out := make([]byte, 0, size) // never grows, so that wiping it leaves no copy
	for _, f := range fields {
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = append(out, f...)
	}
	return out
}

// Seal encrypts a pre-shared key to the responder's sealing key and returns the base64 text of the
// envelope. own is the initiator's WireGuard key: its Diffie-Hellman secret with the responder's
// goes into the key schedule, so that only the holder of one of the two WireGuard private keys can
// seal or open. HPKE's base mode alone would let anybody seal, and would let whoever swaps the
// sealing key on its way read the pre-shared key.
func Seal(to PublicKey, own WGPrivate, b Binding, psk PSK) (string, error) {
	if err := b.check(); err != nil {
		return "", err
	}
	if own.Public() != b.Initiator.Key {
		return "", fmt.Errorf("the private key is not that of the initiator %s", b.Initiator.Name)
	}
	if psk.IsZero() {
		return "", errZeroKey
	}
	key, err := kem().NewPublicKey([]byte(to.raw))
	if err != nil {
		return "", fmt.Errorf("sealing key of %s: %w", b.Responder.Name, err)
	}
	shared, err := own.shared(b.Responder.Key)
	if err != nil {
		return "", err
	}
	defer clear(shared)
	info := b.info(shared)
	defer clear(info)
	out, err := hpke.Seal(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, psk.bytes()[:])
	if err != nil {
		return "", fmt.Errorf("sealing for %s: %w", b.Responder.Name, err)
	}
	return base64.StdEncoding.EncodeToString(out), nil
}

// ErrNotOpened is returned by Open for an envelope that is well formed but was sealed for something
// else, by somebody else, or changed on its way. HPKE cannot tell these apart.
var ErrNotOpened = errors.New("the envelope does not open: " +
	"it was sealed for other keys, names, tunnel number or generation, or was changed on its way")

// Open decrypts an envelope. k and own are the responder's sealing key and WireGuard key.
func Open(k PrivateKey, own WGPrivate, b Binding, sealed string) (PSK, error) {
	if err := b.check(); err != nil {
		return PSK{}, err
	}
	if own.Public() != b.Responder.Key {
		return PSK{}, fmt.Errorf("the private key is not that of the responder %s", b.Responder.Name)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(sealed)
	if err != nil || len(raw) != envelopeSize {
		return PSK{}, fmt.Errorf("the envelope is not base64 of %d bytes", envelopeSize)
	}
	key, err := k.hpke()
	if err != nil {
		return PSK{}, fmt.Errorf("sealing key: %w", err)
	}
	shared, err := own.shared(b.Initiator.Key)
	if err != nil {
		return PSK{}, err
	}
	defer clear(shared)
	info := b.info(shared)
	defer clear(info)
	plain, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, raw)
	if err != nil {
		return PSK{}, ErrNotOpened
	}
	defer clear(plain)
	psk := PSK{hold(new([keySize]byte))}
	if copy(psk.bytes()[:], plain) != keySize || psk.IsZero() {
		return PSK{}, errZeroKey
	}
	return psk, nil
}
