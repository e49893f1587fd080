package bird

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/birdc"
)

// Absent is the state in which nothing of ours is left: the former bird.conf is back,
// where one was kept, or there is none and BIRD does not run.
const Absent = "absent"

// diffAbsent plans the way there. BIRD ends first, and takes its routes out of the
// kernel. A bird.conf that is not ours stays, and so does the BIRD that runs it.
//
// What is kept beside bird.conf goes last: where it is still there, a run was cut off.
func diffAbsent(want Want, have Have) Delta {
	ours := have.Text == nil || StampOf(have.Text) != ""
	managed, back := want.Unit != (Unit{}), ours && have.Original
	var d Delta
	do := func(a Action, names ...string) { d = append(d, Step{Do: a, Names: names}) }
	if ours && have.Daemon.Running && (have.Text != nil || have.Daemon.Runs != "") && (managed || !back) {
		do(ActStop)
	}
	if have.Unit != (Unit{}) {
		do(ActUnitAway)
	}
	if back {
		do(ActBack)
	}
	unfinished := !ours && !have.Daemon.Running && have.enabled && len(have.traces) > 0
	switch {
	case managed && (back || unfinished):
		do(ActStart)
	case back && have.Daemon.Running:
		do(ActLoad)
	case ours && !back && have.enabled && (have.Text != nil || len(have.traces) > 0):
		do(ActDisable)
	}
	rest := have.traces
	if ours && have.Text != nil && !back {
		rest = append([]string{have.path}, rest...)
	}
	if len(rest) > 0 || have.Marker != nil {
		do(ActRemove, rest...)
	}
	return d
}

// observeAbsent reads what diffAbsent asks for.
func (h *Host) observeAbsent(ctx context.Context, s *Have) (err error) {
	s.path = h.Path
	s.traces = append(s.traces, s.Candidates...)
	for _, path := range []string{h.good(), h.damaged()} {
		if _, err := os.Lstat(path); err == nil {
			s.traces = append(s.traces, path)
		}
	}
	if h.Manages() {
		if s.enabled, err = h.linked(); err != nil {
			return err
		}
		s.disabled = !s.enabled && h.disabled(ctx)
	}
	if s.Original {
		s.former, err = readIfThere(h.original())
	}
	return err
}

// linked reports whether the service starts at boot by a link of this host's.
func (h *Host) linked() (bool, error) {
	links, err := filepath.Glob(filepath.Join(h.Units, "*.wants", h.Service+".service"))
	return len(links) > 0, err
}

// disabled asks systemd, which knows a unit by its other names too. One that does not
// answer will not start or enable anything either, and whoever only looks goes on.
func (h *Host) disabled(ctx context.Context) bool {
	state, err := h.ask(ctx, "show", "--property=UnitFileState", "--", h.Service+".service")
	return err == nil && strings.TrimSpace(state) == "UnitFileState=disabled"
}

// viewAbsent is what a diff shows after d.
func (s Have) viewAbsent(d Delta) string {
	does := func(a Action) bool { return slices.ContainsFunc(d, func(s Step) bool { return s.Do == a }) }
	switch {
	case does(ActBack):
		return string(s.former) + "# daemon: runs this file\n"
	case StampOf(s.Text) != "" || s.Text == nil:
		return "# daemon: does not run\n"
	case does(ActStart):
		return string(s.Text) + "# daemon: runs this file\n"
	}
	return string(s.Text) + "# daemon: " + s.daemon() + "\n"
}

// absentStep takes the steps of diffAbsent.
func (h *Host) absentStep(ctx context.Context, s Step) (string, error) {
	switch s.Do {
	case ActStop:
		return "stopped BIRD", h.stop(ctx)
	case ActBack:
		return "put the former " + h.Path + " back", os.Rename(h.original(), h.Path)
	case ActRemove:
		return "removed what was ours of " + h.Path, h.clean(s.Names)
	case ActUnitAway:
		return "removed " + h.dropIn(), h.note().Around(func() error {
			err := errors.Join(atomicfile.Remove(h.dropIn()), atomicfile.Remove(h.script()))
			_ = os.Remove(filepath.Dir(h.dropIn())) // unless somebody else has a drop-in there
			return err
		}, func() error { return h.systemctl(ctx, "daemon-reload") })
	case ActDisable:
		return "disabled " + h.Service, h.systemctl(ctx, "disable", h.Service)
	}
	return "", errors.ErrUnsupported
}

func (h *Host) stop(ctx context.Context) error {
	if h.Systemd && h.Service != "" {
		if err := h.systemctl(ctx, "stop", h.Service); err != nil {
			return err
		}
	}
	for end := time.Now().Add(startWait); ; time.Sleep(pollInterval) {
		c, err := birdc.Dial(ctx, h.Socket)
		if errors.Is(err, birdc.ErrNotRunning) {
			return nil
		}
		if err != nil {
			return err
		}
		_, _ = c.Command(ctx, "down") // of a BIRD that no unit started
		_ = c.Close()
		if time.Now().After(end) {
			return errors.New("BIRD still runs after it was told to end: look at its log, end it, and run again")
		}
	}
}

// keepAsIs gives the copy of the former file its owner, mode and time, so that it can
// take its place again. It follows no link: the folder is BIRD's.
func keepAsIs(path, copied string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(copied, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	at := syscall.NsecToTimeval(info.ModTime().UnixNano())
	return errors.Join(
		f.Chown(int(owner.Uid), int(owner.Gid)), f.Chmod(info.Mode().Perm()),
		syscall.Futimes(int(f.Fd()), []syscall.Timeval{at, at}), f.Close())
}
