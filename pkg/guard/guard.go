// Package guard keeps what a router was before a change, so that the change can be taken back: also
// when the controller, the module that makes the change, or the way to the router is gone.
//
// The first module that is about to write arms the guard: it writes a journal, with a copy of every
// file that it will touch, and starts a process that waits for the deadline ("wgmesh undo --wait").
// Modules after it add to the same journal before they write, and what was known first stays: it is
// what worked. Whoever confirms the change removes the journal; else the process takes the change
// back, or the next boot does.
//
// The package knows files and times. What a tunnel or BIRD needs to go back is a
// note of its own that the caller keeps in the journal and reads again.
package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/detach"
	"github.com/wgmesh/router/pkg/plan"
)

// A Guard names the places of one router.
type Guard struct {
	Folder string // of the journal, root's alone: it has copies of keys
	Run    string // emptied by a reboot
	Units  string // of systemd; empty: systemd does not run here
	// Launch starts "wgmesh undo --wait ID" so that it outlives the caller.
	Launch func(ctx context.Context, id string) error

	again time.Duration // for tests
}

// Host is the guard of this router.
func Host() Guard {
	g := Guard{Folder: plan.UndoDirectory, Run: plan.RunDirectory, Launch: launch}
	if detach.Systemd() {
		g.Units = "/etc/systemd/system"
	}
	return g
}

// Waiter is the file that shows that a process waits for a change. It says why the change
// cannot be taken back, when that was tried.
func (g Guard) Waiter(id string) string { return filepath.Join(g.Run, "undo-"+id) }

// Lock keeps two from settling or changing the journal at once. Nobody holds it for
// longer than that takes.
func (g Guard) Lock(ctx context.Context) (unlock func(), err error) {
	f, err := g.open("undo.lock")
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(
				fmt.Errorf("%s: a change is being taken back or confirmed: %w", f.Name(), ctx.Err()), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (g Guard) open(name string) (*os.File, error) {
	if err := os.MkdirAll(g.Run, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(g.Run, name), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
}

// launch starts the waiting process. It ends neither with the session nor with the module.
func launch(ctx context.Context, id string) error {
	return detach.Start(ctx, detach.Unit{
		Name: "wgmesh-undo-" + id, Identifier: "wgmesh-undo",
		Description: "Takes a change of the mesh back unless it is confirmed",
		NoBlock:     true, // the boot's undo would wait for what waits for it; the others look for themselves
		Properties:  []string{"Restart=on-failure", "RestartSec=1", "StartLimitIntervalSec=0", "OOMScoreAdjust=-900"},
	}, "undo", "--wait", id)
}
