package bird

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
)

// A Host names the places where BIRD lives on a host.
type Host struct {
	Path    string // of bird.conf
	Socket  string // control socket
	Service string // systemd unit without ".service"; empty: not managed
	Run     string // folder for the marker, emptied by a reboot
	Units   string // folder of systemd's drop-ins, normally /etc/systemd/system; empty: none is managed
	Systemd bool   // systemd runs here
	// Command runs a program and returns what it prints; nil is exec.
	Command func(ctx context.Context, name string, args ...string) (string, error) `json:"-"`
}

// ConfigPath is where the installed BIRD has its configuration, below root, which ends with a
// slash: Debian's packages have it in /etc/bird, EL's and Fedora's in /etc itself.
func ConfigPath(root string) string {
	debian, el := root+"etc/bird/bird.conf", root+"etc/bird.conf"
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	if _, err := os.Lstat(el); err == nil {
		return el
	}
	return debian
}

// Have is what is there: the file, the daemon, and what an earlier change has left.
type Have struct {
	Text       []byte // of bird.conf; nil when absent
	Original   bool   // a copy of the distribution's file has been kept
	Good       []byte // text from which a damaged bird.conf is put back at boot
	Damaged    string // path of one that was put aside then; empty: none
	Daemon     Daemon
	Marker     *Marker // of a pending change; nil without
	Candidates []string
	Trial      []byte // text of the marker's candidate; nil when absent
	Unit       Unit   // empty when absent or not managed

	path     string
	traces   []string // files of ours beside bird.conf
	enabled  bool     // the service, at boot
	disabled bool     // it could be: a masked unit, or one without [Install], is neither
	former   []byte   // the distribution's text
}

// marker is a file of its own for each bird.conf, should a host run several.
func (h *Host) marker() string {
	return filepath.Join(h.Run, "bird"+strings.ReplaceAll(h.Path, "/", "-")+".json")
}

func (h *Host) original() string { return original(h.Path) }
func (h *Host) dropIn() string   { return h.beside("50-wgmesh.conf") }
func (h *Host) script() string   { return h.beside("50-wgmesh.sh") }

// boot.sh has the same names.
func (h *Host) good() string    { return h.Path + ".good" }
func (h *Host) damaged() string { return h.Path + ".damaged" }

func (h *Host) beside(name string) string {
	return filepath.Join(h.Units, h.Service+".service.d", name)
}

// Validate refuses names that BIRD's commands or systemd could take for something else.
func (h Host) Validate() error {
	var errs []error
	for name, value := range map[string]string{"path": h.Path, "control_socket": h.Socket} {
		if !plan.Only(value, symbol+"./+-") || value[0] != '/' || filepath.Clean(value) != value ||
			value[len(value)-1] == '/' || value[len(value)-1] == '.' {
			errs = append(errs,
				fmt.Errorf("%s: expected an absolute path of letters, digits and _ . / + -, got %q", name, value))
		}
	}
	if s := h.Service; s != "" && (!plan.Only(s, symbol+".@-") || strings.Contains(".@-", s[:1]) ||
		strings.HasSuffix(s, ".service")) {
		errs = append(errs, fmt.Errorf(
			"service: expected the name of a systemd unit without .service, or an empty string, got %q", h.Service))
	}
	return errors.Join(errs...)
}

// closedMark is behind a text that BIRD cannot read again.
const closedMark = "# its mode or group, or its folder's, is not the one for BIRD\n"

// Observe reads all of it and writes nothing.
func (h Host) Observe(ctx context.Context) (Have, error) {
	var s Have
	var err error
	if info, err := os.Lstat(h.Path); err == nil && !info.Mode().IsRegular() {
		return s, fmt.Errorf("%s: expected a regular file, found %s; name the file itself", h.Path, info.Mode().Type())
	}
	if err := atomicfile.Replaceable(h.Path); err != nil {
		return s, err // a rename is the last step, when all else is confirmed
	}
	if s.Text, err = readIfThere(h.Path); err != nil {
		return s, err
	}
	if StampOf(s.Text) != "" && h.closed(h.Path) {
		// BIRD would not start with it, so it is another text than the one to have.
		s.Text = append(s.Text, closedMark...)
	}
	if _, err := os.Lstat(h.original()); err == nil {
		s.Original = true
	}
	if s.Candidates, err = filepath.Glob(globQuote(h.Path) + ".cand-*"); err != nil {
		return s, err
	}
	if s.Marker, err = readMarker(h.marker()); err != nil {
		return s, err
	}
	if s.Marker != nil && slices.Contains(s.Candidates, s.Marker.Candidate) {
		if s.Trial, err = readIfThere(s.Marker.Candidate); err != nil {
			return s, err
		}
	}
	if h.Manages() {
		if err := h.observeBoot(&s); err != nil {
			return s, err
		}
	}
	if err := h.observeAbsent(ctx, &s); err != nil {
		return s, err
	}
	s.Daemon, err = ObserveDaemon(ctx, h.Socket)
	return s, err
}

func (h *Host) observeBoot(s *Have) error {
	dropIn, err := readIfThere(h.dropIn())
	if err != nil {
		return err
	}
	script, err := readIfThere(h.script())
	if err != nil {
		return err
	}
	if err := errors.Join(mark.Foreign(h.dropIn(), dropIn), mark.Foreign(h.script(), script)); err != nil {
		return err
	}
	s.Unit = Unit{DropIn: string(dropIn), Script: string(script)}
	if h.note().Due() { // also of one that is gone: systemd still has it
		s.Unit.DropIn += "# systemd has yet to read this\n"
	}
	if s.Good, err = readIfThere(h.good()); err != nil {
		return err
	}
	if h.closed(h.good()) {
		s.Good = nil
	}
	if _, err := os.Lstat(h.damaged()); err == nil {
		s.Damaged = h.damaged()
	}
	return nil
}

// Manages reports whether there is a systemd unit to look after.
func (h Host) Manages() bool { return h.Systemd && h.Service != "" && h.Units != "" }

func (h *Host) systemctl(ctx context.Context, args ...string) error {
	_, err := h.ask(ctx, args...)
	return err
}

func (h *Host) ask(ctx context.Context, args ...string) (string, error) {
	const name = "systemctl"
	if h.Command != nil {
		return h.Command(ctx, name, args...)
	}
	return program.Run(ctx, name, args...)
}

// readIfThere follows no link and waits for no pipe: the folder is BIRD's, and BIRD
// is not to choose what root reads.
func readIfThere(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s: expected a regular file, found a symbolic link; remove it", path)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: expected a regular file, found %s; remove it", path, info.Mode().Type())
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// globQuote takes the meaning from the characters that filepath.Glob knows.
func globQuote(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}
