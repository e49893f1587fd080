// Package keypair looks after the identity of a router: its WireGuard private
// key, its sealing key, and a record of the machine that both were made on.
//
// Keys are made on the router and stay there; public halves are all that leaves this package. A key
// file is made exclusively and never replaced, unless Regenerate says so. Observe reads, Diff
// decides, Apply writes. The one caller is the module wg_keypair.
package keypair

import (
	"fmt"
	"slices"
	"strings"
)

// Files names the files of an identity, each an absolute path.
type Files struct {
	PrivateKey string // WireGuard private key, as `wg genkey` writes it
	SealingKey string // private half of the sealing key
	Identity   string // JSON: a hash of the machine's id; nothing secret
}

// Want is the identity as the user asked for it.
type Want struct {
	Files
	Regenerate Regenerate
	ImageBuild bool // the host is being made into an image: refuse to make keys
	Absent     bool // take the keys away
}

// Regenerate says when keys that exist are replaced by new ones. The words are those of
// community.crypto (openssl_privatekey), and mean here, for a key that is there:
//
//	                     made on another machine   not readable as a key
//	never                kept, with a warning      error
//	fail                 error                     error
//	partial_idempotence  new keys                  error
//	full_idempotence     new keys                  new key
//	always               new keys on every run
//
// A key that is missing is made and a wrong mode or owner is mended under each of them.
type Regenerate string

// The values of Regenerate.
const (
	Never  Regenerate = "never"
	Fail   Regenerate = "fail"
	Partly Regenerate = "partial_idempotence"
	Fully  Regenerate = "full_idempotence"
	Always Regenerate = "always"
)

// Choices returns all values of Regenerate, mildest first.
func Choices() []string {
	return []string{string(Never), string(Fail), string(Partly), string(Fully), string(Always)}
}

// Validate refuses a Want that cannot be right on any host. Errors name the options of wg_keypair.
func (w Want) Validate() error {
	if !slices.Contains(Choices(), string(w.Regenerate)) {
		return fmt.Errorf("regenerate: expected one of %s, got %q", strings.Join(Choices(), ", "), w.Regenerate)
	}
	named := map[string]string{}
	for _, f := range [][2]string{
		{"private_key_file", w.PrivateKey}, {"sealing_key_file", w.SealingKey}, {"identity_file", w.Identity},
	} {
		if !strings.HasPrefix(f[1], "/") || strings.HasSuffix(f[1], "/") {
			return fmt.Errorf("%s: expected an absolute path of a file, got %q", f[0], f[1])
		}
		if other, taken := named[f[1]]; taken {
			return fmt.Errorf("%s: %s is already the %s; name another file", f[0], f[1], other)
		}
		named[f[1]] = f[0]
	}
	return nil
}
