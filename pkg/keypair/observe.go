package keypair

import (
	"context"
	"path/filepath"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

// A Key is what was seen of a key file: never the key, only its public half.
type Key struct {
	keyfile.Info
	Public    string   // base64; "" when there is no key or it is broken
	Short     string   // a form of Public that fits in a diff
	Broken    error    // why the content is not a key
	Leftovers []string // temporary files of a killed run
}

// Have is the identity as it is on the host.
type Have struct {
	Private, Sealing Key
	Machine          string // hash of this machine's id; "" when it has none
	Recorded         string // hash in the identity file; "" when there is none
	Image            string // why this is an image build; "" when it is not
	Unbound          bool   // the keys belong to no machine

	identity  keyfile.Info
	leftovers []string // of the identity file
}

// Cloned reports that the keys were made on another machine.
func (h Have) Cloned() bool { return h.Machine != "" && h.Recorded != "" && h.Machine != h.Recorded }

// Observe reads the identity of a router. A file that is absent is not an error; a
// link, a folder that others can write to, or an unreadable file is.
func (h Host) Observe(_ context.Context, want Want) (Have, error) {
	var have Have
	m, err := h.observe()
	if err != nil {
		return have, err
	}
	have.Machine, have.Image, have.Unbound = m.hash, m.image, h.Unbound
	have.Private, err = readKey("private_key_file", want.PrivateKey, func(text []byte) (string, string, error) {
		k, err := seal.ParseWGPrivate(text)
		defer k.Wipe()
		return k.Public().String(), k.Public().String(), err
	})
	if err != nil {
		return have, err
	}
	have.Sealing, err = readKey("sealing_key_file", want.SealingKey, func(text []byte) (string, string, error) {
		k, err := seal.ParsePrivateKey(text)
		defer k.Wipe()
		pub := k.Public()
		return pub.String(), pub.Fingerprint(), err
	})
	if err != nil {
		return have, err
	}
	if _, err := keyfile.CheckDir(filepath.Dir(want.Identity)); err != nil {
		return have, wrap("identity_file", err)
	}
	var id identity
	if have.identity, id, err = readIdentity(want.Identity); err != nil {
		return have, err
	}
	have.Recorded = id.Machine
	have.leftovers, err = atomicfile.Leftovers(want.Identity)
	return have, wrap("identity_file", err)
}

// readKey reads one key file and keeps its public half. parse returns the
// public key and a short form of it.
func readKey(option, path string, parse func([]byte) (string, string, error)) (Key, error) {
	var k Key
	if _, err := keyfile.CheckDir(filepath.Dir(path)); err != nil {
		return k, wrap(option, err)
	}
	info, text, err := keyfile.Read(path)
	defer seal.Wipe(text)
	k.Info = info
	if err != nil {
		return k, wrap(option, err)
	}
	if info.Exists {
		k.Public, k.Short, k.Broken = parse(text)
	}
	k.Leftovers, err = atomicfile.Leftovers(path)
	return k, wrap(option, err)
}
