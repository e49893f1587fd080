package unread_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/unread"
)

func TestAround(t *testing.T) {
	n := unread.At(t.TempDir()+"/run", "x.service")
	assert.False(t, n.Due())
	well, fails := func() error { return nil }, func() error { return errors.New("no bus") }
	noted := func() error {
		assert.True(t, n.Due(), "cut off here, nobody would know")
		return nil
	}
	require.NoError(t, n.Around(noted, noted))
	assert.False(t, n.Due())
	for _, step := range [][2]func() error{{fails, well}, {well, fails}} {
		require.ErrorContains(t, n.Around(step[0], step[1]), "no bus")
		assert.True(t, n.Due())
	}
	require.NoError(t, n.Around(well, well))
	assert.False(t, n.Due())
}
