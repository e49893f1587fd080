package bird

import (
	"context"
	_ "embed" // the script is a file of its own, for shellcheck
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
)

// readyTime is how long AtBoot waits for a BIRD in the middle of a reconfiguration.
const readyTime = 3 * time.Second

// AtBoot lists the files for the next start of BIRD that are missing, or not those of now, and
// what keeps BIRD from reading its own; empty: nothing does. It knows so of a BIRD that runs a
// text of ours and is not on trial.
func (h Host) AtBoot(ctx context.Context) (wrong []string, shut string, ours bool) {
	runs, pending := h.runs(ctx)
	if runs == "" || pending {
		return nil, "", false
	}
	text, err := readIfThere(h.Path)
	if err != nil || StampOf(text) != runs || !whole(text) {
		wrong = append(wrong, h.Path)
	}
	switch {
	case h.shut(h.Path):
		shut = filepath.Dir(h.Path)
	case err == nil && h.closed(h.Path):
		shut = h.Path
	}
	var have Have
	if !h.Manages() {
		return wrong, shut, true
	}
	if err := h.observeBoot(&have); err != nil || have.Unit != h.Unit() {
		wrong = append(wrong, h.dropIn())
	}
	if have.Good == nil && shut == "" {
		wrong = append(wrong, h.good())
	}
	return wrong, shut, true
}

// runs asks BIRD which text it runs, and whether it may take that back.
func (h *Host) runs(ctx context.Context) (s Stamp, pending bool) {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	c, err := birdc.Dial(ctx, h.Socket)
	if err != nil {
		return "", false
	}
	defer func() { _ = c.Close() }()
	var d Daemon
	if err := d.configuration(ctx, c); err != nil {
		return "", false
	}
	return d.Runs, d.Pending
}

// shut reports whether BIRD, which is not root any more when it reads a file, cannot get
// through the folder of it.
func (h *Host) shut(path string) bool {
	folder, gid := filepath.Dir(path), h.group(path)
	info, err := os.Lstat(folder)
	if err != nil || !info.IsDir() || gid == 0 || filepath.Base(folder) == "etc" {
		return false
	}
	owner := info.Sys().(*syscall.Stat_t)
	through := info.Mode().Perm() & 0o001
	if int(owner.Gid) == gid {
		through = info.Mode().Perm() & 0o010
	}
	if owner.Uid != 0 { // BIRD's own, as Debian's is
		through |= info.Mode().Perm() & 0o100
	}
	return through == 0
}

// open lets BIRD through the folder of a file. One of root's group gets BIRD's.
func (h *Host) open(path string) error {
	if !h.shut(path) {
		return nil
	}
	folder, gid := filepath.Dir(path), h.group(path)
	info, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	switch int(info.Sys().(*syscall.Stat_t).Gid) {
	case 0:
		if err := os.Chown(folder, -1, gid); err != nil {
			return err
		}
		fallthrough
	case gid:
		return os.Chmod(folder, info.Mode()|0o050)
	}
	return os.Chmod(folder, info.Mode()|0o001)
}

// A Unit is what the service of BIRD gets from us: a drop-in, and the script
// beside it that the drop-in runs.
type Unit struct{ DropIn, Script string }

//go:embed boot.sh
var bootScript string

// Unit is the one that this host should have.
//
// A crashed daemon is back in a fifth of a second and for as long as it takes, gets the processor
// first, because BFD packets must not wait, and is the last that the kernel ends when memory is
// short. Its reload is refused while a change waits for confirmation: "birdc configure" would
// silently end the trial. It has BIRD 3 hear of the site's interfaces on, as ActHear does.
//
// ExecCondition is what runs before the "bird -p" of the distribution's unit,
// which a damaged bird.conf does not pass; the script never skips anything. It also
// has the kernel forward on while BIRD has no sessions, as ExecStop does at a restart.
func (h Host) Unit() Unit {
	return Unit{Script: bootScript, DropIn: `# Written by the Ansible module wgmesh.router.bird_config.
[Unit]
StartLimitIntervalSec=0

[Service]
ExecCondition=/bin/sh ` + h.script() + ` ` + h.Path + `
ExecStop=/bin/sh ` + h.script() + ` ` + h.Path + ` %n
Restart=on-failure
RestartSec=200ms
Nice=-10
CPUWeight=1000
OOMScoreAdjust=-900
ExecReload=
ExecReload=/bin/sh ` + h.script() + ` ` + h.Path + ` %n reload
`}
}
