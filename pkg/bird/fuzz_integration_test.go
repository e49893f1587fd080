//go:build integration

package bird_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
)

// BIRD's parser takes every configuration that Validate accepts.
func FuzzParserTakes(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, name, router, iface, site, staticIface, network, via, address,
		address6 string, as, med, limit int,
	) {
		nettest.Need(t, "bird")
		c := fuzzed(name, router, iface, site, staticIface, network, via, address, address6, as, med, limit)
		if c.Validate() != nil {
			return
		}
		text := bird.Render(c, bird.Sources{})
		require.NoError(t, bird.Check(t.Context(), text), "%q", text)
	})
}
