package keypair

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

// Public is the half of an identity that others may know. A key that is not made yet is "".
type Public struct {
	PublicKey  string // WireGuard, base64
	SealingKey string // MLKEM768-X25519, base64
}

// An Outcome is what came of Apply: the public halves as they are then, and what was
// done, in words.
type Outcome struct {
	Public
	Done []string
}

// Public returns the public halves as they are before Apply: "" for a key that
// Apply makes or replaces.
func (d Delta) Public() Public {
	p := Public{PublicKey: d.before.Private.Public, SealingKey: d.before.Sealing.Public}
	for _, s := range d.Steps {
		switch {
		case s.Action == Mend:
		case s.Path == d.files.PrivateKey:
			p.PublicKey = ""
		case s.Path == d.files.SealingKey:
			p.SealingKey = ""
		}
	}
	return p
}

// Apply does the steps in their order and stops at the first error.
func (Host) Apply(_ context.Context, d Delta) (Outcome, error) {
	out := Outcome{Public: d.Public()}
	for _, s := range d.Steps {
		word, err := d.step(s, &out.Public)
		if err != nil {
			return out, fmt.Errorf("%s: %w; run again when this is solved", s.Path, err)
		}
		out.Done = append(out.Done, fmt.Sprintf("%s %s (%s)", word, s.Path, s.Why))
	}
	return out, nil
}

func (d Delta) step(s Step, pub *Public) (done string, err error) {
	switch s.Action {
	case Mend:
		return "mended mode or owner of", keyfile.Mend(s.Path)
	case MakePrivate, ReplacePrivate:
		k := seal.NewWGPrivate()
		defer k.Wipe()
		if err := write(s.Path, k.Encode(), s.Action == MakePrivate); err != nil {
			return "", err
		}
		pub.PublicKey = k.Public().String()
		return "made private key", nil
	case MakeSealing, ReplaceSealing:
		k := seal.NewPrivateKey()
		defer k.Wipe()
		if err := write(s.Path, k.Encode(), s.Action == MakeSealing); err != nil {
			return "", err
		}
		pub.SealingKey = k.Public().String()
		return "made sealing key", nil
	case Record:
		return "recorded the machine in", write(s.Path, identity{madeBy, d.machine}.encode(), false)
	case Clear:
		return "removed", atomicfile.Remove(s.Path)
	}
	return "", fmt.Errorf("unknown action %d", s.Action)
}

// write makes the folder when there is none, puts the file there and wipes the
// text. A new key is created exclusively: what appeared in the meantime stays.
func write(path string, text []byte, exclusive bool) error {
	defer seal.Wipe(text)
	if _, err := keyfile.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if exclusive {
		return atomicfile.Create(path, text, keyfile.Mode)
	}
	return atomicfile.Write(path, text, keyfile.Mode)
}
