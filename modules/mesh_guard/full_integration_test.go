//go:build integration

package meshguard

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A /run that is full when a change is settled keeps nobody from knowing what became of it.
func TestSettledWithoutRoom(t *testing.T) {
	for state, says := range map[string]string{undone: "taken back at", confirmed: ""} {
		t.Run(state, func(t *testing.T) {
			g, write := newGuard(t)
			require.NoError(t, os.MkdirAll(g.Run, 0o700))
			nettest.Mount(t, g.Run, "tmpfs", "64k")
			one := write()
			nettest.Fill(t, g.Run)
			require.NoError(t, settle(t, g, state, one))
			assert.Nil(t, must.Get(g.Read())(t))
			for _, change := range []string{one, ""} {
				if err := settle(t, g, confirmed, change); says == "" {
					assert.NoError(t, err)
				} else {
					assert.ErrorContains(t, err, says)
				}
			}
		})
	}
}
