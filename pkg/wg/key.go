package wg

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

const keyLen = 32

// A secret is a private or pre-shared key. It prints as nothing useful, in
// every way there is to print or marshal it.
type secret [keyLen]byte

func (secret) String() string               { return seal.Redacted }
func (secret) GoString() string             { return seal.Redacted }
func (secret) MarshalText() ([]byte, error) { return []byte(seal.Redacted), nil }

func (s *secret) wipe() { clear(s[:]) }

func (s *secret) public() (plan.PublicKey, error) {
	private, err := ecdh.X25519().NewPrivateKey(s[:])
	if err != nil {
		return plan.PublicKey{}, errors.New("not a WireGuard private key")
	}
	return plan.PublicKey(private.PublicKey().Bytes()), nil
}

// A Fingerprint reports whether two secrets are equal and nothing else about them: it is keyed with
// a salt that lives as long as one Host. The zero value means: no key.
type Fingerprint [sha256.Size]byte

// IsZero reports whether there is no key.
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

// readKeyFile reads one base64 key. The file must be regular, ours, and closed
// to everyone else; a link is not followed. The error is fs.ErrNotExist when
// there is no file, and never holds a byte of it.
func readKeyFile(path string) (secret, error) {
	var key secret
	info, text, err := keyfile.Read(path)
	defer clear(text)
	switch {
	case err != nil:
		return key, fmt.Errorf("key file: %w", err)
	case !info.Exists:
		return key, fmt.Errorf("key file %s: %w", path, fs.ErrNotExist)
	case info.Exposed():
		return key, fmt.Errorf("key file %s: mode %04o, owner %d: others may read it: "+
			"chown root and chmod 600 it, and replace the key if anyone could have", path, info.Mode.Perm(),
			info.UID)
	}
	if err := seal.DecodeKey((*[keyLen]byte)(&key), text); err != nil {
		return key, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}
