package guard

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/atomicfile"
)

// launchTime is how long the waiting process may take to be there.
const launchTime = 15 * time.Second

// A Change is what somebody is about to touch.
type Change struct {
	Files []string                  // absolute paths
	Notes map[string]map[string]any // by kind and name
}

// Note adds what a caller wants to know again about something.
func (c *Change) Note(kind, name string, v any) {
	if c.Notes == nil {
		c.Notes = map[string]map[string]any{}
	}
	if c.Notes[kind] == nil {
		c.Notes[kind] = map[string]any{}
	}
	c.Notes[kind][name] = v
}

// Set is Note for what is to be once the change is confirmed: the last that is said counts.
func (c *Change) Set(kind, name string, v any) { c.Note(kind, name, last{v}) }

type last struct{ said any }

// ErrChanged reports that somebody wrote after what is to be confirmed.
var ErrChanged = errors.New("another run has changed this router since, so nothing is confirmed" +
	" (that run confirms all of it, or the router takes all of it back): let it end, and run again")

// ErrOverdue reports that the time of an earlier change is up.
var ErrOverdue = errors.New(
	"an earlier change of this router was not confirmed in time and is being taken back: run again in a few seconds; " +
		"docs/guard.md says what to do if it stays")

// Arm makes sure, before anything of c is touched, that it can and will be taken
// back after so many seconds. What an earlier change keeps already stays as it is, but
// for what is to be (Set), and its deadline moves.
func (g Guard) Arm(ctx context.Context, seconds int, c Change) error {
	if err := g.arm(ctx, seconds, c); err != nil {
		return fmt.Errorf("guard: nothing was changed, because it could not be taken back: %w", err)
	}
	return nil
}

func (g Guard) arm(ctx context.Context, seconds int, c Change) error {
	unlock, err := g.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	j, err := g.Read()
	if err != nil {
		return err
	}
	if j == nil {
		if j, err = g.fresh(); err != nil {
			return err
		}
	} else if j.Overdue() {
		return g.late(ctx, *j)
	}
	for _, path := range c.Files {
		if slices.ContainsFunc(j.Files, func(f File) bool { return f.Path == path }) {
			continue
		}
		if err := atomicfile.Replaceable(path); err != nil {
			return err
		}
		f, err := g.keep(path)
		if err != nil {
			return fmt.Errorf("keep %s: %w", path, err)
		}
		j.Files = append(j.Files, f)
	}
	for kind, named := range c.Notes {
		for name, v := range named {
			if err := j.note(kind, name, v); err != nil {
				return err
			}
		}
	}
	// The process comes first. One that finds no journal ends; a journal that nobody
	// watches would lie there for weeks and then undo what it does not know.
	if err := g.launch(ctx, j.ID); err != nil {
		return err
	}
	if err := errors.Join(g.noteArmed(j.ID), g.writeBootUnit()); err != nil {
		return err
	}
	j.renew(seconds)
	j.Writes++
	return g.write(*j)
}

// note keeps the first that is said about something, or the last of what is to be.
func (j *Journal) note(kind, name string, v any) error {
	if j.Notes[kind] == nil {
		j.Notes[kind] = map[string]json.RawMessage{}
	}
	if l, ok := v.(last); ok {
		v = l.said
	} else if _, known := j.Notes[kind][name]; known {
		return nil
	}
	raw, err := json.Marshal(v)
	if err == nil {
		j.Notes[kind][name] = raw
	}
	return err
}

// fresh begins a journal in an empty folder.
func (g Guard) fresh() (*Journal, error) {
	if err := g.sweep(); err != nil {
		return nil, err
	}
	// The folder of the tunnels may not be there yet.
	for _, dir := range []string{filepath.Dir(g.Folder), g.Folder} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
	if err := os.Chmod(g.Folder, 0o700); err != nil {
		return nil, err
	}
	return &Journal{
		ID: strings.ToLower(rand.Text()[:12]), Since: time.Now(),
		Notes: map[string]map[string]json.RawMessage{},
	}, nil
}

// Renew moves the deadline of a change that waits: who makes it is still there.
func (g Guard) Renew(ctx context.Context, seconds int) error {
	unlock, err := g.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	j, err := g.Read()
	if err != nil || j == nil {
		return err
	}
	if j.Overdue() {
		return g.late(ctx, *j)
	}
	if err := g.launch(ctx, j.ID); err != nil {
		return err
	}
	j.renew(seconds)
	return g.write(*j)
}

// late makes sure that a change whose time is up is being taken back.
func (g Guard) late(ctx context.Context, j Journal) error {
	if g.Watched(j.ID) {
		return ErrOverdue
	}
	return errors.Join(ErrOverdue, g.Launch(ctx, j.ID))
}

func (g Guard) launch(ctx context.Context, id string) error {
	if g.Watched(id) {
		return nil
	}
	if err := g.Launch(ctx, id); err != nil {
		return err
	}
	for end := time.Now().Add(launchTime); !g.Watched(id); time.Sleep(10 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the process that waits to take the change back did not start within %s: "+
				"see journalctl -t wgmesh-undo", launchTime)
		}
	}
	return nil
}

// Watched reports whether a process holds the lock that shows that it waits.
func (g Guard) Watched(id string) bool {
	f, err := os.Open(g.Waiter(id))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
