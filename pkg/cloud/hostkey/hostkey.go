// Package hostkey publishes the public half of this machine's SSH host key where its
// cloud lets nobody but this machine write, so that inventories hand it to the other
// routers as mesh_host_key. The private half is made here and goes nowhere.
//
// The line is TYPE KEY wgmesh:MACHINE:PROOF. MACHINE is what the cloud calls this
// machine for life, by which it knows its own word again. PROOF is a signature of the
// router's name by the key: one that publishes the key of another router has none.
// collection/plugins/plugin_utils/host_keys.py checks it.
//
// The packages of the clouds have the places. The caller is the command
// `wgmesh-cloud publish-host-key`.
package hostkey

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// signed is what comes before the router's name in what is signed. sshd signs with this
// key, too, but never a text that begins so: its own begin with a length, or SSHSIG.
const signed = "wgmesh host key of "

// A Key is the host key of this machine.
type Key struct {
	private ed25519.PrivateKey
	public  ssh.PublicKey
}

// String hides the key from whoever prints it.
func (Key) String() string { return "[redacted]" }

// GoString does so for %#v.
func (Key) GoString() string { return "[redacted]" }

// ErrNoKey is that of a machine that has not made its key yet.
var ErrNoKey = errors.New("no such file; the first boot makes it")

// Load reads the private key in the file path.
func Load(path string) (Key, error) {
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Key{}, fmt.Errorf("%s: %w", path, ErrNoKey)
	case err != nil:
		return Key{}, err
	}
	raw, err := ssh.ParseRawPrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return Key{}, fmt.Errorf("%s: has a passphrase; a host key has none", path)
	case err != nil: // not its words: they may repeat what is in the file
		return Key{}, fmt.Errorf("%s: is not a private key of OpenSSH; make one by ssh-keygen -A", path)
	}
	private, fine := raw.(*ed25519.PrivateKey)
	if !fine {
		return Key{}, fmt.Errorf("%s: is not an Ed25519 key; "+
			"expected one such as /etc/ssh/ssh_host_ed25519_key: a tag has no room for others", path)
	}
	public, err := ssh.NewPublicKey(private.Public())
	return Key{private: *private, public: public}, err
}

// Fingerprint is what ssh-keygen -l prints of the key.
func (k Key) Fingerprint() string { return ssh.FingerprintSHA256(k.public) }

// Line is what the router of this name publishes on the machine.
func (k Key) Line(router, machine string) string {
	plain := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.public)))
	proof := base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, []byte(signed+router)))
	return plain + " " + mark(machine) + proof
}

func mark(machine string) string { return "wgmesh:" + machine + ":" }

// A Place holds one line of one machine. Nobody but the machine writes there, and its
// owner; the other routers read.
type Place interface {
	// Machine is what the cloud calls this machine, for life.
	Machine() string
	// Place names the place in results and errors.
	Place() string
	// Read returns the line; "" when there is none.
	Read(ctx context.Context) (string, error)
	Write(ctx context.Context, line string) error
}

// A Refused is the error when the place holds a word that is not this machine's.
type Refused struct{ text string }

func (r Refused) Error() string { return r.text }

// Publish puts the key's line there, unless it is there, and says what it did. Another
// key gives way when this machine published it, or the one that was at this place
// before. One that somebody gave stays, unless replace says otherwise.
func Publish(ctx context.Context, place Place, key Key, router string, replace bool) (string, error) {
	have, err := place.Read(ctx)
	if err != nil {
		return "", err
	}
	want := key.Line(router, place.Machine())
	write, why, err := decide(strings.TrimSpace(have), want, place.Machine(), replace)
	if err != nil {
		return "", Refused{
			fmt.Sprintf("%s %v; this machine's key is %s: take the other one away, or bring it here, "+
				"or start `/usr/local/libexec/wgmesh-cloud publish-host-key --replace` once",
				place.Place(), err, key.Fingerprint()),
		}
	}
	if write {
		if err := place.Write(ctx, want); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s: %s %s %s", router, key.Fingerprint(), why, place.Place()), nil
}

// decide reports whether to write, and what that is in words.
func decide(have, want, machine string, replace bool) (write bool, why string, err error) {
	found := fingerprint(have)
	switch {
	case have == "":
		return true, "is published as", nil
	case have == want:
		return false, "is there already as", nil
	case strings.Contains(have, " "+mark(machine)) && found == fingerprint(want):
		return true, "is published under the router's new name as", nil
	case strings.Contains(have, " "+mark(machine)):
		return true, "takes the place of " + found + ", this machine's key before, as", nil
	case found == fingerprint(want):
		return false, "was given to the cloud by somebody and stays as it is, as", nil
	case strings.Contains(have, " wgmesh:"):
		return true, "takes the place of " + found + ", the key of the machine before this one, as", nil
	case replace:
		return true, "takes the place of " + found + ", as --replace says, as", nil
	}
	return false, "", fmt.Errorf("holds %s, which this machine did not publish", found)
}

// fingerprint is a key's; of a text that is not a key it says so and does not repeat it.
func fingerprint(line string) string {
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "no SSH public key"
	}
	return ssh.FingerprintSHA256(public)
}
