package mesh_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// Every folder of testdata is a mesh with the plan of each of its routers.
func TestGolden(t *testing.T) {
	cases := must.Get(filepath.Glob("testdata/*/mesh.yaml"))(t)
	require.NotEmpty(t, cases)
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := load(t, filepath.Base(dir))
			all := plans(t, m)
			for name, plan := range all {
				assert.Equal(t, plan, must.Get(m.Plan(name))(t), "alone and with all others")
				have := must.Get(json.MarshalIndent(plan, "", "  "))(t)
				assert.NotContains(t, string(have), "null")
				must.Golden(t, filepath.Join(dir, name+".json"), string(have)+"\n")
			}
			goldens := must.Get(filepath.Glob(filepath.Join(dir, "*.json")))(t)
			for _, golden := range goldens {
				assert.Contains(t, all, strings.TrimSuffix(filepath.Base(golden), ".json"),
					"%s belongs to no router", golden)
			}
		})
	}
}
