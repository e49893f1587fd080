package meshguard

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/guard"
)

// newGuard is a guard, and what writes under it and returns the change that waits then.
func newGuard(t *testing.T) (g guard.Guard, write func() string) {
	t.Helper()
	dir := t.TempDir()
	g = guard.Guard{Folder: dir + "/undo", Run: dir + "/run"}
	g.Launch = func(_ context.Context, id string) error {
		f := must.Get(os.Create(g.Waiter(id)))(t)
		t.Cleanup(func() { _ = f.Close() })
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	return g, func() string {
		require.NoError(t, g.Arm(t.Context(), 60, guard.Change{Files: []string{dir + "/file"}}))
		return must.Get(g.Read())(t).Change()
	}
}

func settle(t *testing.T, g guard.Guard, state, change string) error {
	t.Helper()
	p, err := plan(t.Context(), g, Options{State: state, Change: change})
	if err == nil && p.Changed {
		_, err = p.Apply(t.Context())
	}
	return err
}

// What somebody wrote after a run had looked is not confirmed by that run: nobody has
// looked at it. Whoever names no change confirms all of it.
func TestConfirmsWhatWasSeen(t *testing.T) {
	g, write := newGuard(t)
	confirm := func(change string) error { return settle(t, g, confirmed, change) }
	one := write()
	two := write()
	require.ErrorIs(t, confirm(one), guard.ErrChanged)
	assert.NotNil(t, must.Get(g.Read())(t), "it waits")
	seen := must.Get(plan(t.Context(), g, Options{State: confirmed, Change: two}))(t)
	write()
	require.ErrorIs(t, must.Err(seen.Apply(t.Context())), guard.ErrChanged, "written between the look and the lock")
	require.NoError(t, confirm(""))
	assert.Nil(t, must.Get(g.Read())(t))
	require.NoError(t, confirm(one), "another run has kept it")
	for range 63 {
		write()
		require.NoError(t, confirm(""))
	}
	three := write()
	require.NoError(t, confirm(must.Get(g.Read())(t).Change()))
	require.ErrorContains(t, confirm(one), "nobody knows whether this change was kept", "too long ago")
	four := write()
	require.NoError(t, confirm(three), "another one waits since")
	require.NoError(t, os.Remove(g.Run+"/changes"))
	require.NoError(t, confirm(three), "the last one, after a reboot too")
	require.ErrorContains(t, confirm(one), "nobody knows whether this change was kept", "not after a reboot")
	require.NoError(t, confirm(""), "whatever waits")
	require.NoError(t, confirm(four), "an older program had not noted it when it began")
	require.NoError(t, os.Remove(g.Run+"/changes"))
	require.NoError(t, confirm(""), "nothing waited")
}

// A run whose first change was taken back keeps no second one in its name.
func TestConfirmsAllOfARun(t *testing.T) {
	g, write := newGuard(t)
	confirm := func(first, change string) error {
		p, err := plan(t.Context(), g, Options{State: confirmed, First: first, Change: change})
		if err == nil {
			_, err = p.Apply(t.Context())
		}
		return err
	}
	one := write()
	require.NoError(t, settle(t, g, undone, one))
	two := write()
	require.ErrorContains(t, confirm(one, two), "taken back at")
	assert.NotNil(t, must.Get(g.Read())(t), "it waits")
	require.NoError(t, confirm(two, write()))
	require.NoError(t, confirm(two, write()), "another run has kept it, and this one wrote since")
}

// Who asks while a change is being settled waits for that, and who is cut off then leaves no false note.
func TestConfirmsWhileItIsSettled(t *testing.T) {
	g, write := newGuard(t)
	one := write()
	done := make(chan error, 1)
	unlock := must.Get(g.Lock(t.Context()))(t)
	require.NoError(t, g.Close())
	go func() { done <- settle(t, g, confirmed, one) }()
	runtime.Gosched() // it may ask before the lock is free, or after that
	unlock()
	require.ErrorContains(t, <-done, "nobody knows")

	two := write()
	j := must.Get(g.Read())(t)
	unlock = must.Get(g.Lock(t.Context()))(t)
	go func() { done <- settle(t, g, confirmed, two) }()
	must.Get(g.Keep(*j))(t)
	unlock()
	require.NoError(t, <-done)
}

// A change that was taken back is not confirmed by whatever came of another run's, and a run
// takes nobody's change back but its own. Without a name it is whatever waits.
func TestSettlesItsOwnChange(t *testing.T) {
	g, write := newGuard(t)
	waits := func() bool { return must.Get(g.Read())(t) != nil }
	one := write()
	require.NoError(t, settle(t, g, undone, one))
	require.ErrorContains(t, settle(t, g, confirmed, one), "taken back at")
	require.ErrorContains(t, settle(t, g, confirmed, ""), "taken back at")
	two := write()
	require.ErrorContains(t, settle(t, g, confirmed, one), "taken back at")
	require.NoError(t, settle(t, g, undone, one))
	assert.True(t, waits(), "it is not the change of that run")
	require.NoError(t, settle(t, g, confirmed, two))
	require.ErrorContains(t, settle(t, g, confirmed, one), "taken back at", "and not kept with the one after it")
	require.NoError(t, settle(t, g, confirmed, ""), "the last one was kept")

	three := write()
	write()
	require.NoError(t, settle(t, g, undone, three))
	assert.False(t, waits(), "what another run wrote since is of the same change, and goes with it")
	write()
	require.NoError(t, settle(t, g, undone, ""))
	assert.False(t, waits())

	// The one that is to be taken back may be settled, and the next begin, before the lock is had.
	four := write()
	seen := must.Get(plan(t.Context(), g, Options{State: undone, Change: four}))(t)
	require.NoError(t, settle(t, g, confirmed, four))
	write()
	must.Get(seen.Apply(t.Context()))(t)
	assert.True(t, waits())

	require.NoError(t, settle(t, g, undone, ""))
	five := write()
	require.NoError(t, settle(t, g, undone, five))
	require.NoError(t, os.Remove(g.Run+"/changes")) // as a reboot does
	require.ErrorContains(t, settle(t, g, confirmed, five), "nobody knows whether this change was kept")
}
