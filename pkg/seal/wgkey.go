package seal

import (
	"crypto/ecdh"
	"encoding/base64"
	"fmt"
)

// A WGPublic is a WireGuard public key: a Curve25519 point. It is comparable;
// the zero value is no key.
type WGPublic [keySize]byte

// ParseWGPublic reads the base64 text that wg(8) uses. White space around it,
// the all-zero key and points of low order are refused.
func ParseWGPublic(text string) (WGPublic, error) {
	s, err := parseSecret([]byte(text))
	if err != nil || len(text) != keyText {
		if err == nil {
			err = errNotKey
		}
		return WGPublic{}, fmt.Errorf("public key: %w", err)
	}
	key := WGPublic(*s.bytes())
	if _, err := NewWGPrivate().shared(key); err != nil { // any private key tells
		return WGPublic{}, fmt.Errorf("public key %s: it is a point of low order: make it a new key, or take it for taken over", key)
	}
	return key, nil
}

// String returns the base64 text, or "" for no key.
func (p WGPublic) String() string {
	if p == (WGPublic{}) {
		return ""
	}
	return base64.StdEncoding.EncodeToString(p[:])
}

// MarshalText returns the base64 text.
func (p WGPublic) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// A WGPrivate is a WireGuard private key. It never shows itself.
type WGPrivate struct{ secret }

// NewWGPrivate makes a private key as `wg genkey` does: 32 random bytes, clamped
// (RFC 7748 section 5).
func NewWGPrivate() WGPrivate {
	s := newSecret()
	b := s.bytes()
	b[0] &= 248
	b[31] = b[31]&127 | 64
	return WGPrivate{s}
}

// ParseWGPrivate reads the text of a private key file. Unclamped keys are
// accepted: the kernel clamps them, and their public key is the same.
func ParseWGPrivate(text []byte) (WGPrivate, error) {
	s, err := parseSecret(text)
	return WGPrivate{s}, err
}

// Public returns the public half, or the zero value when there is no key.
func (k WGPrivate) Public() WGPublic {
	if k.IsZero() {
		return WGPublic{}
	}
	key, err := ecdh.X25519().NewPrivateKey(k.bytes()[:])
	if err != nil {
		return WGPublic{} // cannot happen: the length is right
	}
	return WGPublic(key.PublicKey().Bytes())
}

// shared returns the Diffie-Hellman secret of this key and a peer's. The caller
// wipes it. A point of low order is refused, as the kernel does.
func (k WGPrivate) shared(peer WGPublic) ([]byte, error) {
	if k.IsZero() {
		return nil, errZeroKey
	}
	own, err := ecdh.X25519().NewPrivateKey(k.bytes()[:])
	if err != nil {
		return nil, err
	}
	far, err := ecdh.X25519().NewPublicKey(peer[:])
	if err != nil {
		return nil, err
	}
	s, err := own.ECDH(far)
	if err != nil {
		return nil, fmt.Errorf("public key %s is not usable: %w", peer, err)
	}
	return s, nil
}
