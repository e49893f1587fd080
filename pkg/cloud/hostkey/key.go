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
