package meshguard

import (
	"context"
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
		go func() { _ = g.Wait(t.Context(), id, func(context.Context) error { return nil }, func(string) {}) }()
		return nil
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
}
