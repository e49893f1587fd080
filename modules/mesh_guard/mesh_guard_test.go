package meshguard

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/guard"
)

// What somebody wrote after a run had looked is not confirmed by that run: nobody has
// looked at it. Whoever names no change confirms all of it.
func TestConfirmsWhatWasSeen(t *testing.T) {
	dir := t.TempDir()
	g := guard.Guard{Folder: dir + "/undo", Run: dir + "/run"}
	g.Launch = func(_ context.Context, id string) error {
		go func() { _ = g.Wait(t.Context(), id, func(context.Context) error { return nil }, func(string) {}) }()
		return nil
	}
	write := func() string {
		require.NoError(t, g.Arm(t.Context(), 60, guard.Change{Files: []string{dir + "/file"}}))
		return must.Get(g.Read())(t).Change()
	}
	confirm := func(change string) error {
		p, err := plan(t.Context(), g, Options{State: confirmed, Change: change})
		if err == nil && p.Changed {
			_, err = p.Apply(t.Context())
		}
		return err
	}
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
