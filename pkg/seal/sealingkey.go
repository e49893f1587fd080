package seal

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// privatePrefix marks the file of a sealing key, so that it cannot be taken for
// a WireGuard key, which is 32 bytes too, and so that another KEM can follow.
const privatePrefix = "mlkem768-x25519:"

func kem() hpke.KEM { return hpke.MLKEM768X25519() }

// A PublicKey is the public half of a sealing key pair: envelopes are sealed to
// it. 1216 bytes, 1624 characters of base64.
type PublicKey struct{ raw string }

// ParsePublicKey reads the base64 text that PublicKey.String returns.
func ParsePublicKey(text string) (PublicKey, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return PublicKey{}, errors.New(
			"sealing key: expected base64 of an MLKEM768-X25519 public key (1624 characters)")
	}
	if _, err := kem().NewPublicKey(raw); err != nil {
		return PublicKey{}, fmt.Errorf(
			"sealing key: expected an MLKEM768-X25519 public key of 1216 bytes, have %d bytes: %w", len(raw), err)
	}
	return PublicKey{string(raw)}, nil
}

// String returns the base64 text, or "" for no key.
func (p PublicKey) String() string { return base64.StdEncoding.EncodeToString([]byte(p.raw)) }

// MarshalText returns the base64 text.
func (p PublicKey) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Fingerprint returns "sha256:" and 16 hexadecimal digits, short enough for a
// diff, or "" for no key.
func (p PublicKey) Fingerprint() string {
	if p.raw == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(p.raw))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// A PrivateKey is the private half of a sealing key pair: it opens envelopes.
// It never shows itself.
type PrivateKey struct{ secret }

// NewPrivateKey makes a sealing key pair. The secret is a 32-byte seed.
func NewPrivateKey() PrivateKey { return PrivateKey{newSecret()} }

// ParsePrivateKey reads the text of a sealing key file.
func ParsePrivateKey(text []byte) (PrivateKey, error) {
	rest, found := bytes.CutPrefix(text, []byte(privatePrefix))
	if !found {
		return PrivateKey{}, fmt.Errorf("expected a line that begins with %q", privatePrefix)
	}
	s, err := parseSecret(rest)
	return PrivateKey{s}, err
}

// Encode returns the text of a sealing key file. The caller wipes it.
func (k PrivateKey) Encode() []byte {
	if k.bytes == nil {
		return nil
	}
	seed := k.secret.Encode()
	defer clear(seed)
	return append([]byte(privatePrefix), seed...)
}

// Public returns the public half, or the zero value when there is no key.
func (k PrivateKey) Public() PublicKey {
	key, err := k.hpke()
	if err != nil {
		return PublicKey{}
	}
	return PublicKey{string(key.PublicKey().Bytes())}
}

func (k PrivateKey) hpke() (hpke.PrivateKey, error) {
	if k.IsZero() {
		return nil, errZeroKey
	}
	return kem().NewPrivateKey(k.bytes()[:])
}
