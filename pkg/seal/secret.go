package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Redacted is what every secret of this package prints and marshals as.
const Redacted = "[redacted]"

const (
	keySize = 32
	keyText = 44 // base64 of keySize bytes
)

// A secret holds 32 bytes that must not be shown. They sit in a closure: fmt (and testify when it
// explains a failure) reads unexported fields by reflection and asks no method, follows a pointer
// when the verb does not suit it (%s), and stops at a function.
type secret struct {
	bytes func() *[keySize]byte // nil for no secret
}

// hold returns the secret in b, which the caller gives away.
func hold(b *[keySize]byte) secret { return secret{func() *[keySize]byte { return b }} }

func (secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, Redacted)
}

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
	errNotKey  = errors.New("expected base64 of 32 bytes (44 characters) on one line, as wg genkey and wg genpsk print")
	errZeroKey = errors.New("the key is all zeros, which means no key")
	errMarked  = errors.New("it begins with a byte order mark: save it as plain text, without one")
)

// space is what may stand behind a key in its file: what isspace(3) takes, as wg(8)
// asks, so also the line end of another system.
const space = " \t\n\v\f\r"

// marks are the byte order marks of UTF-8 and UTF-16.
var marks = [][]byte{{0xef, 0xbb, 0xbf}, {0xff, 0xfe}, {0xfe, 0xff}}

// DecodeKey reads the text of a file that holds one key, private or pre-shared. All
// modules read such files with it: what one of them takes, none refuses later. The
// errors never quote the text, and key stays as it is.
func DecodeKey(key *[keySize]byte, text []byte) error {
	if slices.ContainsFunc(marks, func(mark []byte) bool { return bytes.HasPrefix(text, mark) }) {
		return errMarked
	}
	text = bytes.TrimRight(text, space)
	if len(text) != keyText {
		return errNotKey
	}
	var buf [keySize + 1]byte // 44 characters decode to 33 bytes when the padding is missing
	defer clear(buf[:])
	n, err := base64.StdEncoding.Strict().Decode(buf[:], text)
	switch {
	case err != nil || n != keySize:
		return errNotKey
	case [keySize + 1]byte{} == buf:
		return errZeroKey
	}
	copy(key[:], buf[:keySize])
	return nil
}

// parseSecret reads what Encode wrote, or a person.
func parseSecret(text []byte) (secret, error) {
	s := hold(new([keySize]byte))
	if err := DecodeKey(s.bytes(), text); err != nil {
		return secret{}, err
	}
	return s, nil
}

// Wipe overwrites a buffer that held a secret.
func Wipe(b []byte) { clear(b) }
