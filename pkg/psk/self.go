package psk

import (
	"fmt"

	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

// Self is this router's own keys. They do not show. A key that is not there is
// an error only for what needs it: in check mode on a new router wg_keypair has
// made none.
type Self struct {
	private seal.WGPrivate
	sealing seal.PrivateKey
	absent  error // which file is missing; nil for none
}

// ReadSelf reads the two key files of wg_keypair.
func ReadSelf(privateKeyFile, sealingKeyFile string) (Self, error) {
	var s Self
	err := readKey("private_key_file", privateKeyFile, &s, func(text []byte) (err error) {
		s.private, err = seal.ParseWGPrivate(text)
		return err
	})
	if err != nil {
		return s, err
	}
	return s, readKey("sealing_key_file", sealingKeyFile, &s, func(text []byte) (err error) {
		s.sealing, err = seal.ParsePrivateKey(text)
		return err
	})
}

func readKey(option, path string, s *Self, parse func([]byte) error) error {
	info, text, err := keyfile.Read(path)
	defer seal.Wipe(text)
	if err == nil && !info.Exists {
		if s.absent == nil {
			s.absent = fmt.Errorf("%s %s does not exist: run wg_keypair first", option, path)
		}
		return nil
	}
	if err == nil {
		err = parse(text)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w; mend it with wg_keypair", option, path, err)
	}
	return nil
}

// Wipe overwrites the keys.
func (s Self) Wipe() {
	s.private.Wipe()
	s.sealing.Wipe()
}
