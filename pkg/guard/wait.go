package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// look is the pause between two looks at the journal of a change that waits.
	look = time.Second
	// unarmed is how long a journal may take to appear: the program that started this
	// process may have been killed before it wrote one.
	unarmed = 30 * time.Second
	// again is the pause after a try to take the change back that failed.
	again = 5 * time.Second
)

// Unread is the id of a change whose journal a boot could not read. Who waits for it takes back
// what is of another boot, as soon as that is known.
const Unread = "unread"

// Wait takes the change with this id back when its time is up, by calling undo,
// again and again until that works. It ends when the change is settled.
func (g Guard) Wait(ctx context.Context, id string, undo func(context.Context) error, say func(string)) error {
	f, err := g.open("undo-" + id)
	if err != nil {
		return err
	}
	if err := hold(f); err != nil {
		return errors.Join(f.Close(), fmt.Errorf("change %s: another process waits for it already: %w", id, err))
	}
	defer func() { _ = errors.Join(os.Remove(f.Name()), f.Close()) }()
	began, seen, said := time.Now(), false, ""
	failed := func(err error) time.Duration {
		if line := strings.ReplaceAll(err.Error(), "\n", "; "); line != said {
			said = line
			_ = f.Truncate(0) // the status shows what is in it
			_, _ = f.WriteAt([]byte(said), 0)
			say(said + "; trying again until it works")
		}
		return cmp.Or(g.again, again)
	}
	for {
		var pause time.Duration
		j, err := g.Read()
		switch {
		case err != nil: // nobody else is there to look again
			pause = failed(err)
		case j == nil && (seen || time.Since(began) > unarmed):
			return g.tidy(ctx)
		case j == nil:
			pause = look / 10
		case j.ID != id && (id != Unread || j.SameBoot()):
			return nil // another change, with a process of its own
		case j.Overdue():
			seen = true
			if err = undo(ctx); err == nil {
				return nil
			}
			pause = failed(err)
		default:
			seen = true
			pause = min(look, max(j.Left(), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// hold takes the lock by which others know that somebody waits. Who looks whether it
// is held has it for a moment himself, so one refusal says nothing.
func hold(f *os.File) (err error) {
	for range 100 {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// tidy removes what a settlement that was cut off has left.
func (g Guard) tidy(ctx context.Context) error {
	unlock, err := g.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(g.journal()); err == nil {
		return nil // another change began meanwhile
	}
	return g.sweep()
}
