package guarded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/sysctl"
	"github.com/wgmesh/router/pkg/wg"
)

// birdTime is what BIRD may take to go back: one that hangs must not keep the tunnels from it.
const birdTime = 20 * time.Second

// systemdTime is the same for systemd.
const systemdTime = 20 * time.Second

// Undo takes the change that waits back, and returns what it did, in words. It may be
// cut off at any point and called again: the journal goes last. due reports whether the
// change is still to be taken back, once it cannot change any more.
func Undo(ctx context.Context, g guard.Guard, due func(guard.Journal) bool) (done []string, err error) {
	unlock, err := g.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	j, err := g.Read()
	if err != nil || j == nil || !due(*j) {
		return nil, err
	}
	u := undoing{ctx: ctx, g: g, j: *j}
	if err := g.NoteUndone(j.ID); err != nil { // without a note nobody says that it was kept
		u.done = append(u.done, "could not note that it was taken back: "+err.Error())
	}
	u.all()
	if err := errors.Join(u.errs...); err != nil {
		return u.done, fmt.Errorf("take back the change of %s: %w", j.Since.Format(time.TimeOnly), err)
	}
	return u.done, g.Close()
}

// UndoAtBoot is Undo before the tunnels and BIRD of this boot come up: only what they
// come up from is to be put back. A change that was made since the boot is left to the
// process that waits for it, and so is what cannot be put back now: on a full disk, say.
func UndoAtBoot(ctx context.Context, g guard.Guard) ([]string, error) {
	unlock, err := g.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	j, err := g.Read()
	if err != nil { // the disk is at fault, perhaps for a moment
		return nil, errors.Join(err, g.Launch(ctx, guard.Unread))
	}
	if j == nil {
		return nil, nil
	}
	if j.SameBoot() { // systemd's soft-reboot, or a container's restart, ends that process
		if g.Watched(j.ID) {
			return nil, nil
		}
		return []string{"the process that waits to take the change back was gone: started again"}, g.Launch(ctx, j.ID)
	}
	u := undoing{ctx: ctx, g: g, j: *j}
	u.add(nil, g.NoteUndone(j.ID))
	daemon := u.trials() // BIRD, which does not run yet, tries out nothing; what it tried is left
	u.files(func(guard.File) bool { return true })
	u.bootUnits()
	for _, path := range slices.Sorted(maps.Keys(daemon)) {
		before := daemon[path]
		done, err := before.Host.Disable(ctx, before)
		u.add(done, err)
		if len(done) > 0 {
			u.systemctl("--no-block", "stop", before.Host.Service+".service")
		}
	}
	u.reload()
	if err = errors.Join(u.errs...); err == nil {
		err = g.Close()
	}
	if err != nil { // also when systemd ends this, because it takes too long
		err = errors.Join(err, g.Launch(context.WithoutCancel(ctx), j.ID))
	}
	return u.done, err
}

// undoing goes on after an error: what else can go back does.
type undoing struct {
	ctx  context.Context
	g    guard.Guard
	j    guard.Journal
	done []string
	errs []error
	unit bool // a file of systemd's was put back, by this try or by one that was cut off
}

func (u *undoing) add(done []string, err error) {
	u.done = append(u.done, done...)
	if err != nil {
		u.errs = append(u.errs, err)
	}
}

func (u *undoing) all() {
	before, err := guard.Note[wg.Before](u.j, interfaces)
	u.add(nil, err)
	of := map[string]string{} // interface by the path of its files
	for name, b := range before {
		for _, suffix := range []string{"", ".good", ".damaged"} {
			of[filepath.Join(b.Directory, name+".conf"+suffix)] = name
		}
	}
	daemon := u.trials()
	// Keys first, and the file of a tunnel with the tunnel: it is the record of what
	// the interface was given.
	u.files(func(f guard.File) bool { return of[f.Path] == "" })
	u.reload()
	u.tunnels(before)
	u.files(func(guard.File) bool { return true })
	u.parameters()
	for _, path := range slices.Sorted(maps.Keys(daemon)) {
		u.bird(func(ctx context.Context) ([]string, error) { return daemon[path].Host.GoBack(ctx, daemon[path]) })
	}
	// Nothing was taken off the floor, so what it has too much goes when BIRD is back.
	below, err := guard.Note[KeptFloor](u.j, floors)
	u.add(nil, err)
	for _, folder := range slices.Sorted(maps.Keys(below)) {
		u.add(nil, below[folder].Host.Load(u.ctx))
	}
}

// trials ends what BIRD tries out, and removes the files of it. It returns what is
// known of BIRD before the change, by its configuration.
func (u *undoing) trials() map[string]bird.Before {
	daemon, err := guard.Note[bird.Before](u.j, daemons)
	u.add(nil, err)
	for _, path := range slices.Sorted(maps.Keys(daemon)) {
		u.bird(func(ctx context.Context) ([]string, error) { return daemon[path].Host.TakeBack(ctx) })
	}
	return daemon
}

func (u *undoing) bird(do func(context.Context) ([]string, error)) {
	ctx, cancel := context.WithTimeout(u.ctx, birdTime)
	defer cancel()
	u.add(do(ctx))
}

func (u *undoing) files(which func(guard.File) bool) {
	for _, f := range u.j.Files {
		if !which(f) {
			continue
		}
		if err := u.aside(f); err != nil {
			u.add(nil, err)
			continue
		}
		changed, err := u.g.Restore(f)
		switch {
		case err != nil:
			u.add(nil, fmt.Errorf("put back %s: %w", f.Path, err))
		case changed && f.Absent():
			u.add([]string{"removed " + f.Path + ", which was not there before"}, nil)
		case changed:
			u.add([]string{"put back " + f.Path}, nil)
		}
		u.unit = u.unit || u.g.Units != "" && strings.HasPrefix(f.Path, u.g.Units+"/")
	}
}

// aside keeps what somebody has written while the change waited: a file without our name that is
// not what was there before. Keys have none, so it asks about configurations only.
func (u *undoing) aside(f guard.File) error {
	info, err := os.Lstat(f.Path)
	if err != nil || !info.Mode().IsRegular() || filepath.Ext(f.Path) != ".conf" {
		return nil
	}
	text, err := os.ReadFile(f.Path)
	if err != nil || mark.Foreign(f.Path, text) == nil {
		return err
	}
	before, err := u.g.Text(f)
	if err != nil || bytes.Equal(text, before) {
		return err
	}
	kept := fmt.Sprintf("%s.by-hand-%.4x", f.Path, sha256.Sum256(text))
	if err := os.Rename(f.Path, kept); err != nil {
		return err
	}
	u.add([]string{"kept " + f.Path + ", which somebody has changed meanwhile, as " + kept}, nil)
	return nil
}

// reload has systemd read its files again.
func (u *undoing) reload() {
	if !u.unit {
		return
	}
	u.unit = false
	u.systemctl("daemon-reload")
}

func (u *undoing) systemctl(args ...string) {
	_, err := program.Call{Name: "systemctl", Args: args, Limit: systemdTime}.Run(u.ctx)
	u.add(nil, err)
}

func (u *undoing) tunnels(before map[string]wg.Before) {
	byFolder := map[string]map[string]wg.Before{}
	for name, b := range before {
		if byFolder[b.Directory] == nil {
			byFolder[b.Directory] = map[string]wg.Before{}
		}
		byFolder[b.Directory][name] = b
	}
	for folder := range u.j.Notes[clamps] {
		if byFolder[folder] == nil {
			byFolder[folder] = nil
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(byFolder)) {
		host, err := wg.Open(folder)
		if err != nil {
			u.add(nil, err)
			continue
		}
		texts, err := u.texts(folder, byFolder[folder])
		u.add(nil, err)
		u.add(wg.Revert(u.ctx, host, byFolder[folder], texts))
		if _, clamp := u.j.Notes[clamps][folder]; clamp {
			u.add(nil, host.LoadMSS(u.ctx))
		}
		u.add(nil, host.Close())
	}
}

// texts are the wg-quick files that there were, by interface.
func (u *undoing) texts(folder string, before map[string]wg.Before) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range u.j.Files {
		name, ok := strings.CutSuffix(filepath.Base(f.Path), ".conf")
		if _, known := before[name]; !ok || !known || f.Absent() || filepath.Dir(f.Path) != folder {
			continue
		}
		text, err := u.g.Text(f)
		if err != nil {
			return nil, err
		}
		out[name] = string(text)
	}
	return out, nil
}

func (u *undoing) parameters() {
	values, err := guard.Note[string](u.j, parameters)
	u.add(nil, err)
	u.add(sysctl.Host{Root: "/"}.Restore(u.ctx, values))
}

// bootUnits starts the tunnels that this boot does not know of, and keeps those down
// that were not there, whose units it may have begun to start.
func (u *undoing) bootUnits() {
	before, err := guard.Note[wg.Before](u.j, interfaces)
	u.add(nil, err)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		unit := "wg-quick@" + name + ".service"
		_, err := os.Lstat(filepath.Join(u.g.Units, "multi-user.target.wants", unit))
		switch is, was := err == nil, before[name].Enabled; {
		case was && !is:
			u.systemctl("enable", unit)
			u.systemctl("--no-block", "start", unit)
			u.add([]string{name + ": comes up, as before"}, nil)
		case is && !was:
			u.systemctl("disable", unit)
			u.systemctl("--no-block", "stop", unit)
			u.add([]string{name + ": stays down, it was not there before"}, nil)
		}
	}
}
