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
)

var update = flag.Bool("update", false, "write the golden files anew; review them")

// Every folder of testdata is a mesh with the plan of each of its routers.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/mesh.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			all := plans(t, load(t, filepath.Base(dir)))
			for name, plan := range all {
				have, err := json.MarshalIndent(plan, "", "  ")
				require.NoError(t, err)
				assert.NotContains(t, string(have), "null")
				golden := filepath.Join(dir, name+".json")
				if *update {
					require.NoError(t, os.WriteFile(golden, append(have, '\n'), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err, "no golden file; make it with go test ./pkg/mesh -update and review it")
				assert.Equal(t, string(want), string(have)+"\n")
			}
			goldens, err := filepath.Glob(filepath.Join(dir, "*.json"))
			require.NoError(t, err)
			for _, golden := range goldens {
				assert.Contains(t, all, strings.TrimSuffix(filepath.Base(golden), ".json"),
					"%s belongs to no router", golden)
			}
		})
	}
}
