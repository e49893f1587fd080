package meshplan_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	meshstatus "github.com/wgmesh/router/modules/mesh_status"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/failover"
	"github.com/wgmesh/router/pkg/plan"
)

// golden returns all plans that pkg/mesh has as golden files.
func golden(t *testing.T) map[string]map[string]json.RawMessage {
	t.Helper()
	files := must.Get(filepath.Glob("../../pkg/mesh/testdata/*/*.json"))(t)
	require.NotEmpty(t, files)
	out := map[string]map[string]json.RawMessage{}
	for _, file := range files {
		raw := must.Get(os.ReadFile(file))(t)
		var plan map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &plan))
		out[strings.TrimPrefix(file, "../../pkg/mesh/testdata/")] = plan
	}
	return out
}

// Every part of a plan is taken by the module that it is for: no key that it
// does not know, and nothing that its own checks refuse.
func TestConsumersTakeThePlan(t *testing.T) {
	for name, plan := range golden(t) {
		t.Run(name, func(t *testing.T) {
			tunnels, err := json.Marshal(map[string]any{"tunnels": plan["tunnels"], "interface_prefix": prefix(name)})
			require.NoError(t, err)
			assert.NoError(t, ansible.Decode(tunnels, &wgtunnel.Options{}), "wg_tunnel")
			assert.NoError(t, ansible.Decode(plan["bird"], &bird.Config{}), "bird_config")
			watched := fmt.Appendf(nil, `{"failover_plan": %s}`, plan["failover"])
			assert.NoError(t, ansible.Decode(watched, &meshstatus.Options{}), "mesh_status")
			if strings.HasPrefix(name, "route-tables/aws-") {
				// The role adds the mark, which the mesh does not know.
				file := strings.Replace(string(plan["failover"]), "{", `{"mesh": "example",`, 1)
				_, err := failover.Parse(strings.NewReader(file))
				assert.NoError(t, err, "wgmesh-cloud failover")
			} else {
				assert.Contains(t, string(plan["failover"]), `"peers": []`, "there is nothing to watch")
			}
		})
	}
}

func prefix(golden string) string {
	if strings.HasPrefix(golden, "behind-nat/") {
		return "mesh-"
	}
	return "wg"
}

// A router may be called like any of BIRD's words or of bird_config's names.
func TestProtocolNamesAreFree(t *testing.T) {
	words := must.Get(os.ReadFile("../../pkg/plan/birdwords.txt"))(t)
	names := append(strings.Fields(string(words)), "10.0.0.1", "site4", "ranked4", "kernel6",
		"bfd1", "other_site", "carries")
	require.Greater(t, len(names), 500)
	for _, name := range names {
		n := plan.Neighbor{Name: plan.ProtocolName(name)}
		var text string
		if err := (bird.Config{Bird: plan.Bird{Neighbors: []plan.Neighbor{n}}}).Validate(); err != nil {
			text = err.Error()
		}
		assert.NotContains(t, text, ": name: ", "router %s", name)
		assert.Contains(t, text, ": address: ", "the neighbour was looked at")
	}
}
