package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// Close forgets the change that waits: it is confirmed, or taken back. With the
// journal's name it is settled; what comes after is tidying, which the waiting
// process does when this is cut off.
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

// note is where a change that was taken back is remembered, so that a confirmation that
// comes too late does not look like one: by its name until the next boot, and without
// one until the next change.
func (g Guard) note(id string) string {
	return filepath.Join(g.Run, strings.TrimSuffix("undone-"+id, "-"))
}

// NoteUndone remembers that the change with this id was taken back.
func (g Guard) NoteUndone(id string) error {
	if err := os.MkdirAll(g.Run, 0o700); err != nil {
		return err
	}
	text := []byte(time.Now().Format(time.TimeOnly) + "\n")
	return errors.Join(atomicfile.Write(g.note(""), text, 0o600), atomicfile.Write(g.note(id), text, 0o600))
}

// Undone tells when the change with this id was taken back, or the last one for an empty
// id; empty when it was not.
func (g Guard) Undone(id string) string {
	text, _ := os.ReadFile(g.note(id)) // it only explains
	return strings.TrimSpace(string(text))
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
