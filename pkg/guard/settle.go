package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// Keep confirms the change that waits. It is kept when its journal is gone, and not before, so
// it is noted after that. Whoever asks for a note that could not be made hears that nobody knows.
func (g Guard) Keep(j Journal) (done []string, err error) {
	if err := atomicfile.Remove(g.journal()); err != nil {
		return nil, err
	}
	done = []string{"kept the change of " + j.Since.Format(time.TimeOnly)}
	if err := errors.Join(g.note(j.ID, kept), atomicfile.Write(g.last(), []byte(j.ID), 0o600)); err != nil {
		done = append(done, "could not note that it was kept: "+err.Error())
	}
	return done, g.sweep()
}

// Close forgets the change that was taken back. With the journal's name it is settled; what
// comes after is tidying, which the waiting process does when this is cut off.
func (g Guard) Close() error {
	if err := atomicfile.Remove(g.journal()); err != nil {
		return err
	}
	return g.sweep()
}

// sweep removes what is left of a change that is settled, or never began.
func (g Guard) sweep() error {
	entries, err := os.ReadDir(g.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(g.Folder, e.Name())); err != nil {
			return err
		}
	}
	if err := os.Remove(g.Folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return g.removeBootUnit()
}

const bootUnit = "wgmesh-undo.service"

// bootUnitFiles are the unit and what has it started, in the order of writing.
func (g Guard) bootUnitFiles() (unit, link string) {
	return filepath.Join(g.Units, bootUnit), filepath.Join(g.Units, "sysinit.target.wants", bootUnit)
}

// writeBootUnit has the next boot take the change back before the tunnels come up.
// The unit is there as long as a change waits. systemd need not know of it before.
func (g Guard) writeBootUnit() error {
	if g.Units == "" {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`# Written by wgmesh.router while a change of this router waits for its confirmation.
[Unit]
Description=Take a change of the mesh back that was not confirmed before this boot
DefaultDependencies=no
RequiresMountsFor=%s %s
ConditionPathExists=%s
After=local-fs.target
Before=sysinit.target wgmesh-floor.service systemd-sysctl.service network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=%s undo --boot
TimeoutStartSec=60
SyslogIdentifier=wgmesh-undo
LimitCORE=0
`, g.Folder, filepath.Dir(program), g.journal(), program)
	unit, link := g.bootUnitFiles()
	if have, err := os.ReadFile(unit); err == nil && string(have) == text {
		if to, err := os.Readlink(link); err == nil && to == unit {
			return nil
		}
	}
	if err := atomicfile.Write(unit, []byte(text), 0o644); err != nil {
		return err
	}
	return atomicfile.Link(unit, link)
}

func (g Guard) removeBootUnit() error {
	if g.Units == "" {
		return nil
	}
	unit, link := g.bootUnitFiles()
	return errors.Join(atomicfile.Remove(link), atomicfile.Remove(unit))
}
