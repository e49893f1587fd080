//go:build integration

package birdconfig

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
)

// BIRD takes the configuration of every router of every mesh that pkg/mesh
// has as a golden file.
func TestPlansOfTheMesh(t *testing.T) {
	files := must.Get(filepath.Glob("../../pkg/mesh/testdata/*/*.json"))(t)
	checked := 0
	for _, file := range files {
		raw := must.Get(os.ReadFile(file))(t)
		var plan struct{ Bird json.RawMessage }
		require.NoError(t, json.Unmarshal(raw, &plan))
		if plan.Bird == nil {
			continue
		}
		var o Options
		require.NoError(t, ansible.Decode(plan.Bird, &o), file)
		c, src, _, err := bird.Resolve(o.Config, bird.Network{Default4: "eth0", Default6: "eth0"})
		require.NoError(t, err, file)
		text := bird.Render(c, src)
		assert.NoError(t, bird.Check(t.Context(), text), file)
		checked++
	}
	require.Positive(t, checked)
	t.Logf("%d configurations", checked)
}
