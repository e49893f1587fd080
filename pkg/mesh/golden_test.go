package mesh_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

var update = flag.Bool("update", false, "write the golden files anew; review them")

// Every folder of testdata is a mesh with the plan of each of its routers.
func TestGolden(t *testing.T) {
	cases := must.Get(filepath.Glob("testdata/*/mesh.yaml"))(t)
	require.NotEmpty(t, cases)
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			all := plans(t, load(t, filepath.Base(dir)))
			for name, plan := range all {
				have := must.Get(json.MarshalIndent(plan, "", "  "))(t)
				assert.NotContains(t, string(have), "null")
				golden := filepath.Join(dir, name+".json")
				if *update {
					require.NoError(t, os.WriteFile(golden, append(have, '\n'), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err, "no golden file; make it with go test ./pkg/mesh -update and review it")
				assert.Equal(t, string(want), string(have)+"\n")
			}
			goldens := must.Get(filepath.Glob(filepath.Join(dir, "*.json")))(t)
			for _, golden := range goldens {
				assert.Contains(t, all, strings.TrimSuffix(filepath.Base(golden), ".json"),
					"%s belongs to no router", golden)
			}
		})
	}
}
