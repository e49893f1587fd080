//go:build integration

package bird_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/bird"
)

// EL keeps bird.conf in /etc itself, whose group is not BIRD's: what BIRD is to
// read there has the group of the file that was there.
func TestGroupOfTheFileStays(t *testing.T) {
	const group = 4242
	g := newGuarded(t)
	require.NoError(t, os.Chown(g.conf(), -1, group))
	g.try(t, number(t, 2), 60)
	have, err := g.host.Observe(t.Context())
	require.NoError(t, err)
	require.Len(t, have.Candidates, 1)
	assert.EqualValues(t, group, groupOf(t, have.Candidates[0]), "while it is tried")
	_, err = g.state(t, bird.Confirmed)
	require.NoError(t, err)
	assert.EqualValues(t, group, groupOf(t, g.conf()), "when it is confirmed")
}

func groupOf(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Sys().(*syscall.Stat_t).Gid
}
