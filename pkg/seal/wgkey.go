package seal

import (
	"crypto/ecdh"
	"fmt"

	"github.com/wgmesh/router/pkg/plan"
)

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
func (k WGPrivate) Public() plan.PublicKey {
	if k.IsZero() {
		return plan.PublicKey{}
	}
	key, err := ecdh.X25519().NewPrivateKey(k.bytes()[:])
	if err != nil {
		return plan.PublicKey{} // cannot happen: the length is right
	}
	return plan.PublicKey(key.PublicKey().Bytes())
}

// shared returns the Diffie-Hellman secret of this key and a peer's. The caller
// wipes it. A point of low order is refused, as the kernel does.
func (k WGPrivate) shared(peer plan.PublicKey) ([]byte, error) {
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
