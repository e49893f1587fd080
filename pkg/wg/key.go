package wg

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// keyLen is the length of every WireGuard key, in bytes.
const keyLen = 32

// keyText is the length of a key in base64.
const keyText = 44

// A PublicKey names a peer. The zero value means: not known.
type PublicKey [keyLen]byte

// ParsePublicKey reads the base64 form. Errors never repeat the text, which may
// be a private key in the wrong place.
func ParsePublicKey(s string) (PublicKey, error) {
	var k PublicKey
	if !decodeKey(k[:], []byte(s)) {
		return PublicKey{}, errors.New("not a WireGuard public key: expected 44 characters of base64, as wg pubkey prints")
	}
	if !k.usable() {
		return PublicKey{}, errors.New("not a WireGuard public key, but a point of low order: make it a new key, or take it for taken over")
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

// IsZero tells that the key is not known.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// usable refuses the points of low order (RFC 7748 section 6.1).
func (k PublicKey) usable() bool {
	probe := make([]byte, keyLen)
	probe[0] = 1
	private, err := ecdh.X25519().NewPrivateKey(probe)
	if err != nil {
		return false
	}
	public, err := ecdh.X25519().NewPublicKey(k[:])
	if err != nil {
		return false
	}
	_, err = private.ECDH(public)
	return err == nil
}

// A secret is a private or pre-shared key. It prints as nothing useful, in
// every way there is to print or marshal it.
type secret [keyLen]byte

func (secret) String() string               { return "(secret)" }
func (secret) GoString() string             { return "(secret)" }
func (secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// wipe forgets the key.
func (s *secret) wipe() { clear(s[:]) }

// public computes the public half of a private key.
func (s *secret) public() (PublicKey, error) {
	private, err := ecdh.X25519().NewPrivateKey(s[:])
	if err != nil {
		return PublicKey{}, errors.New("not a WireGuard private key")
	}
	return PublicKey(private.PublicKey().Bytes()), nil
}

// A Fingerprint tells whether two secrets are equal and nothing else about
// them: it is keyed with a salt that lives as long as one Host. The zero
// value means: no key.
type Fingerprint [sha256.Size]byte

// IsZero tells that there is no key.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// String is (set) or (unset).
func (f Fingerprint) String() string {
	if f.IsZero() {
		return "(unset)"
	}
	return "(set)"
}

// A salt keys the fingerprints of one Host.
type salt [sha256.Size]byte

func newSalt() salt {
	var s salt
	_, _ = rand.Read(s[:]) // never fails: it ends the program instead
	return s
}

func (s *salt) fingerprint(k *secret) Fingerprint {
	if *k == (secret{}) {
		return Fingerprint{}
	}
	h := hmac.New(sha256.New, s[:])
	h.Write(k[:])
	return Fingerprint(h.Sum(nil))
}

// decodeKey decodes exactly one key into dst, which is zeroed when it cannot.
func decodeKey(dst, text []byte) bool {
	if len(text) != keyText {
		return false
	}
	var buf [keyLen + 1]byte // Decode may write one byte more than it counts
	defer clear(buf[:])
	n, err := base64.StdEncoding.Strict().Decode(buf[:], text)
	if err != nil || n != keyLen {
		return false
	}
	copy(dst, buf[:keyLen])
	return true
}
