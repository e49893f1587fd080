package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// Redacted is what every secret of this package prints and marshals as.
const Redacted = "[redacted]"

const (
	keySize = 32
	keyText = 44 // base64 of keySize bytes
)

// A secret holds 32 bytes that must not be shown. They sit in a closure: fmt
// (and testify when it explains a failure) reads unexported fields by reflection
// and asks no method, follows a pointer when the verb does not suit it (%s), and
// stops at a function.
type secret struct {
	bytes func() *[keySize]byte // nil for no secret
}

// hold returns the secret in b, which the caller gives away.
func hold(b *[keySize]byte) secret { return secret{func() *[keySize]byte { return b }} }

// Format prints Redacted for every verb and flag.
func (secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, Redacted)
}

// String returns Redacted.
func (secret) String() string { return Redacted }

// MarshalText returns Redacted; it serves encoding/json and yaml too.
func (secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// IsZero reports that there is no secret here: never set, or wiped.
func (s secret) IsZero() bool { return s.bytes == nil || *s.bytes() == [keySize]byte{} }

// Wipe overwrites the secret. Copies of the value share the same bytes.
func (s secret) Wipe() {
	if s.bytes != nil {
		clear(s.bytes()[:])
	}
}

// Encode returns base64 and a newline, the text of a file as `wg genkey` writes
// it. The caller wipes it.
func (s secret) Encode() []byte {
	if s.bytes == nil {
		return nil
	}
	text := make([]byte, keyText+1)
	base64.StdEncoding.Encode(text, s.bytes()[:])
	text[keyText] = '\n'
	return text
}

func newSecret() secret {
	b := new([keySize]byte)
	_, _ = rand.Read(b[:]) // never an error since Go 1.24: the process ends instead
	return hold(b)
}

var (
	errNotKey  = errors.New("expected base64 of 32 bytes (44 characters) on one line")
	errZeroKey = errors.New("the key is all zeros, which means no key")
)

// parseSecret reads what Encode wrote. White space at the end is allowed, as in
// `wg set private-key FILE`. Errors never quote the text.
func parseSecret(text []byte) (secret, error) {
	text = bytes.TrimRight(text, " \t\r\n")
	if len(text) != keyText {
		return secret{}, errNotKey
	}
	var buf [keySize + 1]byte // 44 characters decode to 33 bytes when the padding is missing
	defer clear(buf[:])
	n, err := base64.StdEncoding.Strict().Decode(buf[:], text)
	if err != nil || n != keySize {
		return secret{}, errNotKey
	}
	s := hold(new([keySize]byte))
	copy(s.bytes()[:], buf[:keySize])
	if s.IsZero() {
		return secret{}, errZeroKey
	}
	return s, nil
}

// Wipe overwrites a buffer that held a secret.
func Wipe(b []byte) { clear(b) }
