package wg

import (
	"fmt"
	"io/fs"

	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/seal/keyfile"
)

// readKeyFile reads one base64 key. The file must be regular, ours, and closed
// to everyone else; a link is not followed. The error is fs.ErrNotExist when
// there is no file, and never holds a byte of it.
func readKeyFile(path string) (secret, error) {
	var key secret
	info, text, err := keyfile.Read(path)
	defer clear(text)
	switch {
	case err != nil:
		return key, fmt.Errorf("key file: %w", err)
	case !info.Exists:
		return key, fmt.Errorf("key file %s: %w", path, fs.ErrNotExist)
	case info.Exposed():
		return key, fmt.Errorf("key file %s: mode %04o, owner %d: others may read it: "+
			"chown root and chmod 600 it, and replace the key if anyone could have", path, info.Mode.Perm(),
			info.UID)
	}
	if err := seal.DecodeKey((*[keyLen]byte)(&key), text); err != nil {
		return key, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}
