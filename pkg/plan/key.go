package plan

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"sync"
)

const (
	keyLen  = 32 // bytes of a WireGuard key
	keyText = 44 // characters of one in base64
)

// A PublicKey is that of WireGuard, a Curve25519 point. It names a peer. The zero value
// means: not known.
type PublicKey [keyLen]byte

// ParsePublicKey reads the base64 form. Errors never repeat the text, which may
// be a private key in the wrong place.
func ParsePublicKey(s string) (PublicKey, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	defer clear(raw)
	if err != nil || len(s) != keyText || len(raw) != keyLen {
		return PublicKey{}, errors.New(
			"not a WireGuard public key: expected 44 characters of base64, as wg pubkey prints")
	}
	k := PublicKey(raw)
	if !k.usable() {
		return PublicKey{}, errors.New(
			"not a WireGuard public key, but a point of low order: make it a new key, or take it for taken over")
	}
	return k, nil
}

// UnmarshalText reads the base64 form; empty text is the zero key.
func (k *PublicKey) UnmarshalText(text []byte) error {
	*k = PublicKey{}
	if len(text) == 0 {
		return nil
	}
	parsed, err := ParsePublicKey(string(text))
	*k = parsed
	return err
}

// MarshalText writes the base64 form; the zero key is empty text.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// String is the base64 form; the zero key is empty.
func (k PublicKey) String() string {
	if k.IsZero() {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k[:])
}

// IsZero reports whether the key is not known.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// probe is any private key.
var probe = sync.OnceValues(func() (*ecdh.PrivateKey, error) {
	return ecdh.X25519().NewPrivateKey(append([]byte{1}, make([]byte, keyLen-1)...))
})

// multiplied are the keys that are usable. A module reads each of a mesh in dozens of places.
var multiplied sync.Map

// usable refuses the points of low order (RFC 7748 section 6.1).
func (k PublicKey) usable() bool {
	if _, known := multiplied.Load(k); known {
		return true
	}
	private, err := probe()
	if err != nil {
		return false
	}
	public, err := ecdh.X25519().NewPublicKey(k[:])
	if err != nil {
		return false
	}
	if _, err = private.ECDH(public); err != nil {
		return false
	}
	multiplied.Store(k, nil)
	return true
}
