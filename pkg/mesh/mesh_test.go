package mesh_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

// fromYAML reads a mesh as the module would, defaults first.
func fromYAML(t testing.TB, text []byte) mesh.Mesh {
	t.Helper()
	var tree any
	require.NoError(t, yaml.Unmarshal(text, &tree))
	raw := must.Get(json.Marshal(tree))(t)
	var m mesh.Mesh
	m.SetDefaults()
	require.NoError(t, json.Unmarshal(raw, &m))
	return m
}

// load reads testdata/<name>/mesh.yaml with changes in YAML, where null takes away what is there.
func load(t testing.TB, name string, changes ...string) mesh.Mesh {
	t.Helper()
	var tree map[string]any
	text := must.Get(os.ReadFile(filepath.Join("testdata", name, "mesh.yaml")))(t)
	require.NoError(t, yaml.Unmarshal(text, &tree))
	for _, text := range changes {
		var change map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(text), &change))
		replace(tree, change)
	}
	return fromYAML(t, must.Get(yaml.Marshal(tree))(t))
}

func replace(tree, changes map[string]any) {
	for key, value := range changes {
		before, had := tree[key].(map[string]any)
		inner, has := value.(map[string]any)
		switch {
		case value == nil:
			delete(tree, key)
		case had && has:
			replace(before, inner)
		default:
			tree[key] = value
		}
	}
}

// plans returns the plan of every present router.
func plans(t testing.TB, m mesh.Mesh) map[string]plan.Plan {
	t.Helper()
	out := map[string]plan.Plan{}
	for _, p := range must.Get(m.Plans())(t) {
		out[p.Router.Name] = p
	}
	return out
}

// The test data must not drift from what users read.
func TestFieldCaseIsTheExample(t *testing.T) {
	assert.Equal(t, load(t, "field-case"), example(t, "field-case"))
}

// Where Terraform puts the routers: the tunnels of the field case, and gateways in
// subnets of their own.
func TestTerraformInventory(t *testing.T) {
	m, fieldCase := example(t, "terraform"), load(t, "field-case")
	fieldCase.LinkPool = m.LinkPool
	for name, r := range m.Routers {
		r.Endpoint = fieldCase.Routers[name].Endpoint // Terraform's output inventory brings it
		m.Routers[name] = r
	}
	want := plans(t, fieldCase)
	for name, plan := range plans(t, m) {
		assert.Equal(t, want[name].Tunnels, plan.Tunnels, name)
	}
	for name, gateway := range map[string]string{
		"azure-2": "10.1.0.1", "aws-1": "10.2.0.1", "aws-2": "10.2.0.17", "gcp-1": "10.3.0.1",
	} {
		for _, route := range plans(t, m)[name].Bird.Static {
			assert.Equal(t, gateway, route.Via.String(), name)
		}
	}
}

// example reads the inventory in a folder of examples.
func example(t *testing.T, folder string) mesh.Mesh {
	t.Helper()
	var inventory struct {
		All struct {
			Children struct {
				Routers struct {
					Vars  map[string]any
					Hosts map[string]map[string]any
				}
			}
		}
	}
	text := must.Get(os.ReadFile(filepath.Join("../../examples", folder, "inventory.yml")))(t)
	require.NoError(t, yaml.Unmarshal(text, &inventory))

	routers := map[string]any{}
	for name, vars := range inventory.All.Children.Routers.Hosts {
		routers[name] = unprefixed(vars)
	}
	tree := unprefixed(inventory.All.Children.Routers.Vars)
	tree["routers"] = routers
	return fromYAML(t, must.Get(yaml.Marshal(tree))(t))
}

// unprefixed turns mesh_id into id.
func unprefixed(vars map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range vars {
		out[k[len("mesh_"):]] = v
	}
	return out
}

func TestZoneReadsFromListOrDictionary(t *testing.T) {
	for name, tt := range map[string]struct {
		raw  string
		want mesh.Zone
		err  string
	}{
		"list": {
			raw:  `["10.1.0.0/24", "10.1.1.0/24"]`,
			want: mesh.Zone{Networks: mesh.List{"10.1.0.0/24", "10.1.1.0/24"}},
		},
		"one subnet": {raw: `"10.1.0.0/24"`, want: mesh.Zone{Networks: mesh.List{"10.1.0.0/24"}}},
		"with commas": {
			raw:  `"10.1.0.0/24, 10.1.1.0/24"`,
			want: mesh.Zone{Networks: mesh.List{"10.1.0.0/24", "10.1.1.0/24"}},
		},
		"dictionary": {
			raw:  `{"networks": "10.1.0.0/24", "gateway": ["10.1.0.9"]}`,
			want: mesh.Zone{Networks: mesh.List{"10.1.0.0/24"}, Gateway: mesh.List{"10.1.0.9"}},
		},
		"null":            {raw: `null`},
		"unknown key":     {raw: `{"networks": [], "gatway": "10.1.0.9"}`, err: `unknown field "gatway"`},
		"list of numbers": {raw: `[1]`, err: "expected a list of strings"},
		"number":          {raw: `1`, err: "expected a list of strings"},
	} {
		t.Run(name, func(t *testing.T) {
			var z mesh.Zone
			err := json.Unmarshal([]byte(tt.raw), &z)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, z)
		})
	}
}

func TestProtocolName(t *testing.T) {
	for router, want := range map[string]string{
		"azure-2":             "azure_2",
		"azure_2":             "azure_2",
		"azure-2.example.com": "azure_2_example_com",
		"10.0.0.1":            "_10_0_0_1",
		"gateway":             "_gateway", // words of BIRD's language
		"bgp-path":            "_bgp_path",
		"af":                  "_af",
		"tunnel":              "_tunnel", // of BIRD 3.1.8
		"Gateway":             "Gateway", // which is in lower case
		"":                    "_",
	} {
		assert.Equal(t, want, plan.ProtocolName(router), router)
	}
}

func TestNumber(t *testing.T) {
	assert.Equal(t, 20, plan.Number(5, 7))
	seen := map[int]bool{}
	for j := 2; j <= 40; j++ {
		for i := 1; i < j; i++ {
			n := plan.Number(i, j)
			assert.Equal(t, n, plan.Number(j, i))
			assert.False(t, seen[n], "%d %d", i, j)
			seen[n] = true
		}
	}
	// No gaps: 40 routers use the numbers 1 to 780.
	assert.Equal(t, 780, slices.Max(slices.Collect(maps.Keys(seen))))
	assert.Len(t, seen, 780)
}

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

// A router draws the packets of its zone for each site that has a router, also where a third one
// carries. Who has no tunnel to another site watches nothing, so nobody waits for it.
func TestFailoverOfCarried(t *testing.T) {
	m := load(t, "route-tables")
	for _, name := range []string{"aws-1", "other-1"} {
		router(&m, name, func(r *mesh.Router) { r.Endpoint = "" })
	}
	all := plans(t, m)
	assert.Equal(t, all["aws-2"].Failover.Prefixes, all["aws-1"].Failover.Prefixes)
	require.Len(t, all["aws-1"].Failover.Peers, 1)

	m = load(t, "route-tables")
	for _, name := range []string{"aws-4", "other-1", "office-1"} {
		router(&m, name, func(r *mesh.Router) { r.Endpoint = "" })
	}
	require.Empty(t, plans(t, m)["aws-4"].Failover.Peers)
	for name, p := range plans(t, m) {
		for _, partner := range p.Failover.Partners {
			assert.NotContains(t, partner.Before, "aws-4", "%s stands in for %s", name, partner.Name)
		}
	}
}

// Two routers of a site that nobody can call have no tunnel to each other, and neither waits for
// the other one: the daemon refuses a file in which somebody goes before it who is no partner.
func TestStandInsArePartners(t *testing.T) {
	m := load(t, "route-tables")
	for _, name := range []string{"aws-1", "aws-2"} {
		router(&m, name, func(r *mesh.Router) { r.Endpoint = "" })
	}
	known := map[string][]string{}
	all := plans(t, m)
	for name, p := range all {
		for _, partner := range p.Failover.Partners {
			known[name] = append(known[name], partner.Name)
		}
	}
	require.NotContains(t, known["aws-1"], "aws-2")
	for name, p := range all {
		for _, partner := range p.Failover.Partners {
			for _, before := range partner.Before {
				assert.Contains(t, known[name], before, "%s stands in for %s", name, partner.Name)
				assert.Contains(t, known[before], partner.Name, "%s waits for %s", name, before)
			}
		}
	}
}

// Two routers of a site that nobody can call never stand in for each other, and that is said.
func TestNobodyCanStandIn(t *testing.T) {
	m := load(t, "route-tables")
	for name, r := range m.Routers {
		if r.Site == "aws" {
			router(&m, name, func(r *mesh.Router) {
				r.Endpoint = ""
				if name != "aws-1" && name != "aws-2" {
					r.State = mesh.StateAbsent
				}
			})
		}
	}
	warned := strings.Join(m.Warnings(), "\n")
	for _, name := range []string{"aws-1", "aws-2"} {
		assert.Contains(t, warned, "router "+name+": route_tables: nobody can stand in for it: "+
			"no other router of site aws")
	}
}

// Plan computes one router's part of the mesh. The two ends of a tunnel agree, because
// both come from the same description.
func ExampleMesh_Plan() {
	m := mesh.Mesh{
		Sites: map[string]mesh.Site{
			"office": {AS: 65010, Networks: mesh.List{"10.0.0.0/16"}},
			"azure":  {AS: 65020, Networks: mesh.List{"10.1.0.0/16"}},
		},
		Routers: map[string]mesh.Router{
			"office-1": {ID: 1, Site: "office", Endpoint: "192.0.2.11"},
			"azure-1":  {ID: 3, Site: "azure", Endpoint: "203.0.113.11"},
		},
	}
	m.SetDefaults()
	for _, name := range []string{"office-1", "azure-1"} {
		p, err := m.Plan(name)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, t := range p.Tunnels {
			fmt.Println(name, t.Name, t.ListenPort, t.Peers[0].Endpoint)
		}
	}
	// Output:
	// office-1 wg2 51802 203.0.113.11:51802
	// azure-1 wg2 51802 192.0.2.11:51802
}
