package wg

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// readKeyFile reads one base64 key. The file must be regular, ours, and closed
// to everyone else; a link is not followed. The error is fs.ErrNotExist when
// there is no file, and never holds a byte of it.
func readKeyFile(path string) (secret, error) {
	var key secret
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return key, fmt.Errorf("key file %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return key, fmt.Errorf("key file %w", err)
	}
	if err := checkKeyFile(path, info); err != nil {
		return key, err
	}
	var buf [keyText + 2]byte
	defer clear(buf[:])
	n, err := io.ReadFull(f, buf[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return key, fmt.Errorf("key file %w", err)
	}
	if !decodeKey(key[:], bytes.TrimSuffix(buf[:n], []byte("\n"))) || key == (secret{}) {
		key.wipe()
		return key, fmt.Errorf("key file %s: expected one line of 44 characters of base64, as wg genkey and wg genpsk print", path)
	}
	return key, nil
}

func checkKeyFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("key file %s: not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("key file %s: mode %04o lets others read it: chmod 600 it, and replace the key if anyone could have", path, perm)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return fmt.Errorf("key file %s: owned by uid %d: expected root", path, st.Uid)
	}
	return nil
}
