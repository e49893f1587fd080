package meshplan_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	meshplan "github.com/wgmesh/router/modules/mesh_plan"
	meshstatus "github.com/wgmesh/router/modules/mesh_status"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/failover"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

const (
	stub     = "../../collection/plugins/modules/mesh_plan_info.py"
	fragment = "../../collection/plugins/doc_fragments/plan.py"
)

// run runs the module on options in YAML and returns its result.
func run(t *testing.T, options string) map[string]any {
	t.Helper()
	var tree map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(options), &tree))
	return nettest.Result(t, ansible.New(meshplan.Plan, ansible.Unlocked()), tree)
}

// The module gives the plans that pkg/mesh has as golden files, for options as
// they come out of an inventory.
func TestGolden(t *testing.T) {
	const dir = "../../pkg/mesh/testdata/field-case"
	options := must.Get(os.ReadFile(filepath.Join(dir, "mesh.yaml")))(t)
	for _, name := range []string{"office-1", "azure-2", "gcp-1"} {
		result := run(t, string(options)+"router: "+name+"\n")
		golden := must.Get(os.ReadFile(filepath.Join(dir, name+".json")))(t)
		assert.JSONEq(t, string(golden), string(must.Get(json.Marshal(result["plan"]))(t)))
		assert.Equal(t, false, result["changed"])
	}
}

const small = `
router: a
routers:
  a: {id: "1", site: here, endpoint: 192.0.2.1, zone: 1, state: null}
  b: {id: 2, site: there, endpoint: "", gateway: "10.1.0.9,fe80::9%eth0"}
sites: '{"here": {"as": "65001", "networks": "10.0.0.0/16", "zones": {"1": "10.0.1.0/24"}, "transit": "no"},
         "there": {"as": 65002, "networks": ["10.1.0.0/16"], "onlink": "yes", "mtu": "1300"}}'
`

func TestLenient(t *testing.T) {
	result := run(t, small)
	require.Nil(t, result["failed"], result["msg"])
	plan := result["plan"].(map[string]any)
	assert.Equal(t, map[string]any{"name": "a", "id": 1., "site": "here", "zone": "1", "as": 65001.}, plan["router"])
	assert.Equal(t, 1240., plan["tunnels"].([]any)[0].(map[string]any)["mtu"])
	assert.Equal(t, false, plan["bird"].(map[string]any)["transit"])
}

func TestRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"unknown option": {
			"router: a", "router: a\nlink_pol: 10.0.0.0/8",
			`link_pol: unknown option; did you mean "link_pool"?`,
		},
		"unknown key of router": {
			"id: 2", "id: 2, enpoint: 192.0.2.2",
			`routers.b.enpoint: unknown option; did you mean "endpoint"?`,
		},
		"unknown key of a site": {`"mtu"`, `"mut"`, `sites.there.mut: unknown option; did you mean "mtu"?`},
		"unknown key of a zone": {`"10.0.1.0/24"`, `{"network": "10.0.1.0/24"}`, "sites.here.zones.1: "},
		"id is a word":          {"id: 2", "id: two", `routers.b.id: expected an integer, got "two"`},
		"unknown router": {
			"router: a", "router: c", `router: "c" is not among the routers: expected one of a, b`,
		},
		"no router":            {"router: a", "", "router: it is empty"},
		"problems of the mesh": {"id: 2", "id: 1", "routers a, b: id 1 is given to all of them"},
		"two problems, of which": {
			"router: a\nrouters:", "router: c\nbfd: slow\nrouters:",
			"bfd: \"slow\": expected normal or fast; (2) router: \"c\" is not among",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(small, tt.old))
			result := run(t, strings.Replace(small, tt.old, tt.new, 1))
			assert.Equal(t, true, result["failed"])
			assert.Contains(t, result["msg"], tt.want)
			assert.NotContains(t, result, "plan")
		})
	}
}

// A router that was removed from the mesh is absent, whatever its own inventory
// says; and an inventory that is too old makes nothing new.
func TestGateFile(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate.json")
	const three = small + "known_only: false\n"
	mesh := strings.Replace(three, "sites:", `  c: {id: 3, site: there, endpoint: 192.0.2.3, host_key: "`+hostKey+` c"}
  d: {id: 4, site: there, endpoint: 192.0.2.4, state: absent}
sites:`, 1) + "gate_file: " + gate + "\n"
	peers := func(options string) (names []string, removed, warnings any) {
		result := run(t, options)
		require.Nil(t, result["failed"], result["msg"])
		plan := result["plan"].(map[string]any)
		for _, k := range plan["preshared_keys"].([]any) {
			names = append(names, k.(map[string]any)["peer"].(string))
		}
		return names, plan["gate"].(map[string]any)["removed"], result["warnings"]
	}
	absent := []any{map[string]any{"name": "d", "id": 4.}}

	names, removed, warnings := peers(mesh)
	assert.Equal(t, []string{"b", "c"}, names, "there is no gate yet")
	assert.Equal(t, absent, removed)
	assert.Nil(t, warnings)
	result := run(t, strings.Replace(mesh, "known_only: false", "known_only: true", 1))
	assert.Contains(t, result["msg"], "has not joined yet")

	write := func(removed string) {
		must.Write(t, gate,
			`{"made_by": "wgmesh.router", "preshared_keys": [{"number": 1, "peer": "b"}], "removed": [`+
				removed+`]}`, 0o600)
	}
	write("")
	names, _, _ = peers(strings.Replace(mesh, "known_only: false", "known_only: true", 1))
	assert.Equal(t, []string{"b"}, names, "c would be new")
	for by, out := range map[string]bool{"mesh": true, "peers": true, "inventory": false} {
		for _, entry := range []string{
			`{"name": "c", "id": 3, "by": "` + by + `"}`,
			`{"name": "x", "id": 9, "host_key": "` + hostKey + `", "by": "` + by + `"}`,
		} {
			write(entry)
			names, removed, warnings = peers(mesh)
			assert.Equal(t, absent, removed, "what the inventory says, and no more")
			if !out {
				assert.Equal(t, []string{"b", "c"}, names, entry)
				continue
			}
			assert.Equal(t, []string{"b"}, names, entry)
			require.Len(t, warnings, 1)
			assert.Regexp(t,
				"^c is left out: it was removed from the mesh, .*Take it out of the inventory here, "+
					"or set its mesh_state to absent$", warnings.([]any)[0])
		}
	}

	require.NoError(t, os.WriteFile(gate, []byte(`{"made_by": "wgm`), 0o600))
	names, _, warnings = peers(mesh)
	assert.Equal(t, []string{"b", "c"}, names)
	require.Len(t, warnings, 1)
	assert.Contains(t, warnings.([]any)[0], "damaged")
}

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGd4CoQyoAVOEVgo8YkTSNFqyxXT2Njq0dTRmXb1fXdK"

// The documentation has the options and defaults of the module, and plans its own example.
func TestDocumentation(t *testing.T) {
	parts := docParts(t, stub)
	documented := map[string]any{}
	for _, text := range [][]byte{parts["DOCUMENTATION"], docParts(t, fragment)["DOCUMENTATION"]} {
		var doc struct {
			Options map[string]struct{ Default any }
		}
		require.NoError(t, yaml.Unmarshal(text, &doc))
		for name, option := range doc.Options {
			documented[name] = option.Default
		}
	}
	documented["router"] = "" // required, so without default
	var o meshplan.Options
	o.SetDefaults()
	want := must.Get(json.Marshal(o))(t)
	assert.JSONEq(t, string(want), string(must.Get(json.Marshal(documented))(t)))

	var examples []map[string]any
	require.NoError(t, yaml.Unmarshal(parts["EXAMPLES"], &examples))
	options := examples[0]["wgmesh.router.mesh_plan_info"].(map[string]any)
	options["router"] = "azure-2"
	assert.Nil(t, run(t, string(must.Get(yaml.Marshal(options))(t)))["failed"])
	var returns map[string]any
	require.NoError(t, yaml.Unmarshal(parts["RETURN"], &returns))
	assert.Contains(t, returns, "plan")
}

// docParts returns the documentation of a plugin by name, such as EXAMPLES.
func docParts(t *testing.T, path string) map[string][]byte {
	t.Helper()
	text := must.Get(os.ReadFile(path))(t)
	parts := map[string][]byte{}
	for _, m := range regexp.MustCompile(`(?s)\n *([A-Z]+) = r"""\n(.*?)"""`).FindAllSubmatch(text, -1) {
		parts[string(m[1])] = m[2]
	}
	return parts
}

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

// A default gives no other addresses to tunnels that are there.
func TestKeepsAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		file, pool string
		look       bool
		want       string
	}{
		"no tunnel": {look: true},
		"the old default": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n", look: true,
			want: "wg1 has 172.31.0.2/31, mesh_link_pool is not set and its default is 198.18.0.0/16: " +
				"set it to 172.31.0.0/16",
		},
		"another pool": {
			file: wg.Mark +
				"\n[Interface]\nAddress = fd00::/127\nAddress = 10.9.0.2/31\n", look: true,
			want: "wg1 has 10.9.0.2/31, mesh_link_pool is not set and its default is 198.18.0.0/16: " +
				"set it to its network",
		},
		"the default":     {file: wg.Mark + "\n[Interface]\nAddress = 198.18.0.2/31\n", look: true},
		"somebody else's": {file: "[Interface]\nAddress = 172.31.0.2/31\n", look: true},
		"spoilt":          {file: wg.Mark + "\n[Interface]\nAddress = 172.31\n", look: true},
		"said, so renumber": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n", pool: "link_pool: 10.9.0.0/16\n",
		},
		"said, so keep": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n", pool: "link_pool: 172.31.0.0/16\n",
		},
		"by a variable of the play, so keep": {
			file: wg.Mark + "\n[Interface]\nAddress = 172.31.0.2/31\n",
			pool: "link_pool: 172.31.0.0/16\n", look: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.file != "" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "wg1.conf"), []byte(tt.file), 0o600))
			}
			options := small + tt.pool
			if tt.look {
				options += "tunnel_directory: " + dir + "\n"
			}
			result := run(t, options)
			if tt.want == "" {
				assert.NotContains(t, result, "failed", result["msg"])
				return
			}
			assert.Contains(t, result["msg"], tt.want)
			assert.LessOrEqual(t, len(result["msg"].(string)), 160)
			assert.NotContains(t, result["msg"], "...", "nothing was cut")
		})
	}
}
