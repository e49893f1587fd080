package keypair

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// ImageMarker is the file whose presence says that this host is being made into
// an image. It lives in /run, so that it is never part of the image.
const ImageMarker = "/run/wgmesh-image-build"

// MachineIDFile holds the machine's id, see machine-id(5).
const MachineIDFile = "/etc/machine-id"

// A Host says where the signs are by which a machine is known.
type Host struct {
	MachineID   string // path; "" for MachineIDFile
	ImageMarker string // path; "" for ImageMarker
	Unbound     bool   // the keys belong to no machine: its id may change
}

// A machine is what the signs say.
type machine struct {
	hash  string // of the machine's id, hexadecimal; "" when it has none
	image string // why this is an image build; "" when it is not
}

func (h Host) observe() (machine, error) {
	h.MachineID = cmp.Or(h.MachineID, MachineIDFile)
	h.ImageMarker = cmp.Or(h.ImageMarker, ImageMarker)
	var m machine
	if _, err := os.Lstat(h.ImageMarker); err == nil {
		m.image = h.ImageMarker + " exists"
	} else if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if h.Unbound {
		return m, nil
	}
	id, err := os.ReadFile(h.MachineID)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	id = bytes.TrimSpace(id)
	// machine-id(5): an image has an empty file, or "uninitialized"; the first
	// boot fills it in, and the running systemd shows its own id in either case.
	if len(id) == 0 || string(id) == "uninitialized" {
		m.image = cmp.Or(m.image, h.MachineID+" is empty or uninitialized, as in an image that has not booted")
		return m, nil
	}
	// machine-id(5) asks that the id itself is not handed out, so hash it with a label of our own.
	mac := hmac.New(sha256.New, id)
	mac.Write([]byte("wgmesh.router identity v1"))
	m.hash = hex.EncodeToString(mac.Sum(nil))
	return m, nil
}

// An identity is the content of the identity file.
type identity struct {
	MadeBy  string `json:"made_by"`
	Machine string `json:"machine"` // hash of the id of the machine the keys were made on
}

const madeBy = "wgmesh.router"

func readIdentity(path string) (keyfile.Info, identity, error) {
	info, raw, err := keyfile.Read(path)
	if err != nil || !info.Exists {
		return info, identity{}, wrap("identity_file", err)
	}
	var id identity
	// What cannot be read says nothing about the machine: it is written again.
	if json.Unmarshal(raw, &id) != nil || id.MadeBy != madeBy {
		return info, identity{}, nil
	}
	return info, id, nil
}

func (id identity) encode() []byte {
	out, err := json.Marshal(id)
	if err != nil {
		return nil // cannot happen: two strings
	}
	return append(out, '\n')
}

func wrap(option string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", option, err)
}
