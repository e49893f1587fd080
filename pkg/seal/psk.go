package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// pskIDLabel keeps ids apart from every other use of the key.
const pskIDLabel = "wgmesh.router psk id v1"

// A PSK is a WireGuard pre-shared key. It never shows itself; ID stands for it.
type PSK struct{ secret }

// NewPSK makes a pre-shared key as `wg genpsk` does: 32 random bytes.
func NewPSK() PSK { return PSK{newSecret()} }

// ParsePSK reads the text of a pre-shared key file. All zeros is refused:
// WireGuard takes that as no pre-shared key, in silence.
func ParsePSK(text []byte) (PSK, error) {
	s, err := parseSecret(text)
	return PSK{s}, err
}

// ID returns 8 hexadecimal digits by which two routers, or a person, can see
// that both ends hold the same key. It says nothing about the key: 32 bits of
// an HMAC keyed with 256 random bits. No key has the id "".
func (k PSK) ID() string {
	if k.IsZero() {
		return ""
	}
	mac := hmac.New(sha256.New, k.bytes()[:])
	mac.Write([]byte(pskIDLabel))
	return hex.EncodeToString(mac.Sum(nil)[:4])
}
