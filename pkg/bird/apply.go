package bird

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/unread"
)

// startWait is how long a started BIRD may take until it runs its file.
const startWait = 15 * time.Second

// Apply takes the steps in order and returns what was done, also when one fails. A run that is cut
// off at any point leaves a state from which Diff finds the way on.
func (h Host) Apply(ctx context.Context, d Delta) (done []string, err error) {
	for _, s := range d {
		words, err := h.step(ctx, s)
		if err == nil || s.Do == ActTry && words != "" {
			done = append(done, words)
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (h *Host) step(ctx context.Context, s Step) (string, error) {
	switch s.Do {
	case ActUnit:
		return h.writeUnit(ctx, s.Unit)
	case ActClean:
		return "removed what an unfinished change left", h.clean(s.Names)
	case ActOriginal:
		err := atomicfile.Create(s.Names[0], s.Text, 0o640)
		if errors.Is(err, os.ErrExist) {
			err = nil
		} else if err == nil {
			err = keepAsIs(h.Path, s.Names[0])
		}
		return "kept the former file as " + s.Names[0], err
	case ActAside:
		return "moved " + s.Names[0] + " to " + s.Names[1], os.Rename(s.Names[0], s.Names[1])
	case ActTry:
		return h.try(ctx, s)
	case ActInstall:
		return h.install(ctx, s.Text)
	case ActKeep:
		return "wrote " + h.good(), h.place(h.good(), s.Text)
	case ActStart:
		return h.start(ctx, s.Stamp)
	case ActBoot:
		return "enabled " + h.Service + " at boot", h.systemctl(ctx, "enable", h.Service)
	case ActFinish:
		return "wrote " + h.Path, h.finish(s.Names[0])
	case ActStop, ActBack, ActRemove, ActUnitAway, ActDisable:
		return h.absentStep(ctx, s)
	}
	return h.daemonStep(ctx, s)
}

// daemonStep takes the steps that only speak to the daemon, over a connection of their own.
func (h *Host) daemonStep(ctx context.Context, s Step) (string, error) {
	c, err := birdc.Dial(ctx, h.Socket)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	switch s.Do {
	case ActConfirm:
		// The code alone tells a confirmation from "Nothing to do".
		reply, err := c.Command(ctx, "configure confirm")
		if err == nil && reply.Code() == codeNothing {
			err = fmt.Errorf("%w in this very moment; apply again", ErrTakenBack)
		} else if err == nil && reply.Code() != codeConfirmed {
			err = fmt.Errorf("bird: expected 0018 for the confirmation, got %04d %s", reply.Code(), reply.Text())
		}
		if err != nil {
			return "", err
		}
		return "confirmed the configuration", nil
	case ActUndo:
		// There is nothing to do when its time ran out in this very moment.
		return "took the change back", configure(ctx, c, "configure undo", codeDone, codeInProgress,
			codeQueued, codeNothing)
	case ActLoad:
		return "loaded " + h.Path, configure(ctx, c, `configure "`+h.Path+`"`, codeDone, codeInProgress, codeQueued)
	case ActHear:
		return "had BIRD follow the site's interfaces again", h.hear(ctx, c, s.Text)
	case ActEnable:
		for _, name := range s.Names {
			if err := checkName(protocolName, name, "the name of a protocol"); err != nil {
				return "", err
			}
			if _, err := c.Command(ctx, "enable "+name); err != nil {
				return "", err
			}
		}
		return "enabled " + strings.Join(s.Names, ", "), nil
	}
	return "", fmt.Errorf("step %q is not known", s.Do)
}

// again ends the name of what hear has BIRD read first. boot.sh has the same name.
const again = ".cand-again"

// hear has BIRD read bird.conf, and before it the same with other names of the site's protocols: what
// it keeps through a configure is deaf (BIRD 3). Their routes come before those of the last ones go.
func (h *Host) hear(ctx context.Context, c *birdc.Client, text []byte) error {
	other := h.Path + again
	err := h.place(other, []byte(renamed(string(text), string(StampOf(text)), "again")))
	for _, path := range []string{other, h.Path} {
		if err == nil {
			err = configure(ctx, c, `configure "`+path+`"`, codeDone, codeInProgress, codeQueued)
		}
	}
	return errors.Join(err, atomicfile.Remove(other))
}

// try lets the running BIRD use the text for s.Timeout seconds. bird.conf stays as it is
// until the confirmation. There are words beside an error when BIRD may have taken it.
func (h *Host) try(ctx context.Context, s Step) (words string, err error) {
	if err := Check(ctx, s.Text); err != nil {
		return "", err
	}
	c, err := birdc.Dial(ctx, h.Socket)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	candidate := h.Path + ".cand-" + strings.ToLower(rand.Text()[:8])
	if err := h.place(candidate, s.Text); err != nil {
		return "", err
	}
	reply, err := c.Command(ctx, `configure check "`+candidate+`"`)
	if err == nil && reply.Code() != codeCheckOK {
		err = fmt.Errorf("bird: expected 0020 for the check, got %04d %s", reply.Code(), oneLine(reply.Text()))
	}
	if err != nil {
		return "", errors.Join(err, atomicfile.Remove(candidate))
	}
	command := `configure "` + candidate + `"`
	words = "configured BIRD"
	if s.Timeout > 0 {
		words += fmt.Sprintf(", which takes it back in %d s unless it is confirmed", s.Timeout)
		command += fmt.Sprintf(" timeout %d", s.Timeout)
		until := time.Now().Add(time.Duration(s.Timeout) * time.Second)
		m := Marker{Candidate: candidate, Stamp: s.Stamp, Until: until, Floor: s.Floor}
		if err := writeMarker(h.marker(), m); err != nil {
			return "", errors.Join(err, atomicfile.Remove(candidate))
		}
	}
	err = configure(ctx, c, command, codeDone, codeInProgress, codeQueued)
	if refused := new(birdc.Error); errors.As(err, &refused) {
		return "", errors.Join(err, h.clean([]string{candidate}))
	}
	if err == nil {
		err = tried(ctx, c, s)
	}
	if err != nil || s.Timeout > 0 {
		return words, err // whatever BIRD did, its undo will come
	}
	if err := h.finish(candidate); err != nil {
		return words, err
	}
	return words + " and wrote " + h.Path, nil
}

// tried makes sure that BIRD runs the text of this run, and not one that
// someone else brought in between, and that the undo is really scheduled.
func tried(ctx context.Context, c *birdc.Client, s Step) error {
	runs, err := running(ctx, c)
	if err != nil {
		return err
	}
	if runs != s.Stamp {
		return errors.New("BIRD runs another configuration than the one just given: " +
			"find what else configures it, and run again")
	}
	status, err := waitIdle(ctx, c)
	if err == nil && s.Timeout > 0 && !status.Has(codeUndoIn) {
		err = errors.New("BIRD has no undo scheduled: find what has just reloaded or confirmed it, and run again")
	}
	return err
}

// install writes bird.conf for a BIRD that runs this text already or not at all.
func (h *Host) install(ctx context.Context, text []byte) (string, error) {
	if err := Check(ctx, text); err != nil {
		return "", err
	}
	if err := h.place(h.Path, text); err != nil {
		return "", err
	}
	return "wrote " + h.Path, h.keep(text)
}

func (h *Host) place(path string, text []byte) error {
	if err := h.open(path); err != nil {
		return err
	}
	return atomicfile.WriteGroup(path, text, 0o640, h.group(path))
}

// group is the one that a file needs for BIRD, which reads it when it is not root any more: that of
// the control socket, which BIRD gives its own, or the one with its name. Where it runs as root
// that is 0, and the file keeps its group, or gets that of bird.conf or of the folder.
func (h *Host) group(path string) (gid int) {
	if _, err := os.Lstat(h.Socket); err != nil {
		groups, _ := os.ReadFile("/etc/group")
		gid = birdsGroup(string(groups))
	}
	for _, like := range []string{h.Socket, path, h.Path, filepath.Dir(path)} {
		if info, err := os.Lstat(like); err == nil && gid == 0 {
			gid = int(info.Sys().(*syscall.Stat_t).Gid)
		}
	}
	return gid
}

// birdsGroup is the number that the group bird has in a text like /etc/group.
func birdsGroup(groups string) int {
	for line := range strings.SplitSeq(groups, "\n") {
		fields := strings.Split(line, ":")
		if len(fields) > 3 && fields[0] == "bird" && plan.Only(fields[2], plan.Digits) {
			gid, _ := strconv.Atoi(fields[2])
			return gid
		}
	}
	return 0
}

// closed reports whether a file, or its folder, has another mode or group than BIRD needs. A
// BIRD that is root needs none.
func (h *Host) closed(path string) bool {
	info, err := os.Lstat(path)
	gid := h.group(path)
	return err == nil && gid != 0 &&
		(info.Mode() != 0o640 || int(info.Sys().(*syscall.Stat_t).Gid) != gid || h.shut(path))
}

// keep writes the copy of bird.conf, when something would put it back. It comes
// after the file itself, so that one of the two is always whole.
func (h *Host) keep(text []byte) error {
	if !h.Manages() {
		return nil
	}
	return h.place(h.good(), text)
}

// finish makes the confirmed candidate the file that BIRD boots with.
func (h *Host) finish(candidate string) error {
	text, err := readIfThere(candidate)
	if err != nil {
		return err
	}
	if text == nil {
		return fmt.Errorf("candidate %s is gone", candidate)
	}
	if err := os.Rename(candidate, h.Path); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(filepath.Dir(h.Path)); err != nil {
		return err
	}
	if err := h.keep(text); err != nil {
		return err
	}
	return atomicfile.Remove(h.marker())
}

func (h *Host) clean(candidates []string) error {
	var errs []error
	for _, c := range candidates {
		errs = append(errs, atomicfile.Remove(c))
	}
	return errors.Join(append(errs, atomicfile.Remove(h.marker()))...)
}

// CannotStart says why a start in d will fail.
func (h Host) CannotStart(d Delta) error {
	if h.Systemd || !slices.ContainsFunc(d, func(s Step) bool { return s.Do == ActStart }) {
		return nil
	}
	return fmt.Errorf("BIRD does not run, and without systemd it cannot be started here: "+
		"start bird -c %s -s %s, or set service to an empty string", h.Path, h.Socket)
}

func (h *Host) start(ctx context.Context, stamp Stamp) (string, error) {
	if err := h.CannotStart(Delta{{Do: ActStart}}); err != nil {
		return "", err
	}
	if err := h.systemctl(ctx, "start", h.Service); err != nil {
		return "", err
	}
	for end := time.Now().Add(startWait); ; {
		d, err := ObserveDaemon(ctx, h.Socket)
		if err == nil && d.Running && d.Runs == stamp {
			return "started " + h.Service, nil
		}
		if time.Now().After(end) {
			return "", errors.Join(err, fmt.Errorf("%s was started but does not run %s after %s; "+
				"look at systemctl status %s", h.Service, h.Path, startWait, h.Service))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// writeUnit writes the script first: a drop-in without it would keep BIRD from starting.
func (h *Host) writeUnit(ctx context.Context, u Unit) (string, error) {
	return "wrote " + h.dropIn(), h.note().Around(func() error {
		if err := os.MkdirAll(filepath.Dir(h.dropIn()), 0o755); err != nil {
			return err
		}
		if err := atomicfile.Write(h.script(), []byte(u.Script), 0o644); err != nil {
			return err
		}
		return atomicfile.Write(h.dropIn(), []byte(u.DropIn), 0o644)
	}, func() error { return h.systemctl(ctx, "daemon-reload") })
}

// note is there while systemd has yet to read the drop-in.
func (h *Host) note() unread.Note { return unread.At(h.Run, h.Service+".service") }
