package keypair

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/wgmesh/router/pkg/seal/keyfile"
)

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
	// machine-id(5) asks that the id itself is not handed out, so hash it with a
	// label of our own.
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
