package wg

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/plan"
)

// systemDirectory is the only place where wg-quick@.service looks.
const systemDirectory = plan.TunnelDirectory

// A Host is the machine this runs on, in the network namespace of the calling
// thread. It is both a Reader and a Writer.
type Host struct {
	directory string
	systemd   bool
	networkd  string // folder of networkd's files; empty: there is no networkd
	machine   string // what the drop-in of the units knows this machine by; empty: by nothing
	unknown   error  // why machine is not known
	client    *wgctrl.Client
	salt      salt
	leaving   []string // interfaces that were deleted, whose processes may not be gone yet
}

var (
	_ Reader = (*Host)(nil)
	_ Writer = (*Host)(nil)
)

// Open connects to WireGuard. Units are managed when systemd runs and directory
// is the one its units read.
func Open(directory string) (*Host, error) {
	client, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("open WireGuard control: %w", err)
	}
	_, err = os.Stat("/run/systemd/system")
	h := &Host{
		directory: filepath.Clean(directory),
		systemd:   err == nil && filepath.Clean(directory) == systemDirectory,
		client:    client,
		salt:      newSalt(),
	}
	if info, err := os.Stat(networkdFolder); h.systemd && err == nil && info.IsDir() {
		h.networkd = networkdFolder
	}
	h.Bind(nil)
	return h, nil
}

// Close ends the connection.
func (h *Host) Close() error {
	h.left()
	clear(h.salt[:])
	return h.client.Close()
}

func (h *Host) path(name string) string { return filepath.Join(h.directory, name+".conf") }

// boot.sh has the same names.
func (h *Host) copy(name string) string    { return h.path(name) + ".good" }
func (h *Host) damaged(name string) string { return h.path(name) + ".damaged" }

// Files returns every wg-quick file. Of those that are not ours only the first
// bytes are read, and forgotten.
func (h *Host) Files() (map[string]File, error) {
	entries, err := os.ReadDir(h.directory)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]File{}, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]File{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".conf")
		if !ok || !interfaceName.Fits(name) {
			continue
		}
		f, err := readMarked(h.path(name))
		if err != nil {
			return nil, err
		}
		if f.Ours || f.Blank {
			if err := h.companions(name, &f); err != nil {
				return nil, err
			}
		}
		out[name] = f
	}
	return out, nil
}

// companions reads what is beside a file of ours.
func (h *Host) companions(name string, f *File) error {
	c, err := readMarked(h.copy(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	alone, err := h.leftAlone(name)
	if err != nil {
		return err
	}
	if alone { // else it is written anew, all of it
		f.Copy = c.Text
	}
	if _, err := os.Lstat(h.damaged(name)); err == nil {
		f.Damaged = h.damaged(name)
	}
	return nil
}

// readMarked returns the text of path when it is a regular file with our mark.
func readMarked(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return File{}, nil
	}
	if err != nil {
		return File{}, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return File{}, err
	}
	start := make([]byte, len(Mark))
	if n, err := io.ReadFull(f, start); err != nil || string(start) != Mark {
		return File{Blank: blank(string(start[:n]))}, nil
	}
	rest, err := io.ReadAll(f)
	return File{Ours: true, Text: Mark + string(rest)}, err
}

// WriteFile writes the wg-quick file of name and then its copy, for root's eyes
// only. networkd is kept from the interface before there is one.
func (h *Host) WriteFile(name, text string) error {
	if err := os.MkdirAll(h.directory, 0o700); err != nil {
		return err
	}
	if err := h.leaveAlone(name); err != nil {
		return err
	}
	if err := atomicfile.Write(h.path(name), []byte(text), 0o600); err != nil {
		return err
	}
	return atomicfile.Write(h.copy(name), []byte(text), 0o600)
}

// RemoveFile removes the wg-quick file of name if it is ours, after what is
// beside it: while the file is there, the next run finds what is left.
func (h *Host) RemoveFile(name string) error {
	f, err := readMarked(h.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !f.Ours:
		return fmt.Errorf("%s: not made by wgmesh.router any more, left alone", h.path(name))
	}
	paths := []string{h.damaged(name), h.copy(name), h.path(name)}
	if h.networkd != "" {
		paths = append([]string{networkdPath(h.networkd, name)}, paths...)
	}
	for _, path := range paths {
		if err := atomicfile.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// PublicKey returns the public half of a private key file.
func (h *Host) PublicKey(path string) (plan.PublicKey, error) {
	key, err := readKeyFile(path)
	defer key.wipe()
	if err != nil {
		return plan.PublicKey{}, err
	}
	return key.public()
}

// Fingerprint returns that of a pre-shared key file.
func (h *Host) Fingerprint(path string) (Fingerprint, error) {
	key, err := readKeyFile(path)
	defer key.wipe()
	if err != nil {
		return Fingerprint{}, err
	}
	return h.salt.fingerprint(&key), nil
}

// UsableKey reports that a key file is missing or not usable.
func (h *Host) UsableKey(path string) error {
	key, err := readKeyFile(path)
	key.wipe()
	return err
}
