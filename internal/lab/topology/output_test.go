package topology_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/lab/topology"
	"github.com/wgmesh/router/internal/must"
)

const list = `{
 "_meta": {"hostvars": {
  "a": {"mesh_id": 1, "mesh_endpoint": "192.0.2.1", "mesh_site": "s",
        "mesh_sites": {"s": {"as": 65010, "networks": ["10.0.0.0/24"]}}, "mesh_zone": "",
        "ansible_host": "1.2.3.4", "ansible_ssh_common_args": "-v", "ansible_become": true, "port": 51800, "zone": "1",
        "secret": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n3333\n"}},
  "b": {"mesh_id": 2, "mesh_site": "s", "mesh_sites": {"s": {"as": 65010, "networks": ["10.0.0.0/24"]}},
        "port": 51800, "zone": "2",
        "text": {"__ansible_unsafe": "{{ no }}"}}}},
 "all": {"children": ["routers", "clouds"]},
 "clouds": {"children": ["deep"]}, "deep": {"hosts": ["b", "stranger"]}, "empty": {},
 "routers": {"children": ["x"], "hosts": ["b"]}, "x": {"hosts": ["a"], "children": ["routers"]}
}`

func TestParseInventory(t *testing.T) {
	inv := must.Get(topology.ParseInventory([]byte(list)))(t)
	assert.Equal(t, []string{"a", "b"}, inv.Hosts, "also those of child groups, and no endless loop")
	assert.Equal(t, map[string][]string{"clouds": {"b"}, "deep": {"b"}, "x": {"a", "b"}}, inv.Groups)
	for text, want := range map[string]string{
		"ERROR":                     "printed no JSON",
		`{"_meta": {}, "all": {}}`:  "group routers: not there",
		`{"routers": {}}`:           "group routers: has no hosts",
		`{"_meta": 3}`:              "_meta",
		`{"routers": {"hosts": 1}}`: "group routers",
	} {
		assert.ErrorContains(t, must.Err(topology.ParseInventory([]byte(text))), want, text)
	}
}

func TestInventory(t *testing.T) {
	inv := must.Get(topology.ParseInventory([]byte(list)))(t)
	topo := must.Get(topology.New("lab", inv))(t)
	text := must.Get(topo.Inventory(inv, topology.Files{Config: "/lab/ssh config", Control: "/run/cp"}))(t)
	assert.Contains(t, string(text), "secret: !vault |")
	assert.Contains(t, string(text), "text: !unsafe")
	assert.NotContains(t, string(text), "1.2.3.4", "the user's connection does not hold here")
	assert.NotContains(t, string(text), "ansible_become")

	var got struct {
		All struct {
			Vars     map[string]string
			Children map[string]struct {
				Hosts map[string]map[string]any
				Vars  map[string]any
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &got))
	assert.Equal(t, "-F '/lab/ssh config'", got.All.Vars["ansible_ssh_common_args"])
	routers := got.All.Children["routers"]
	assert.Equal(t, 51800, routers.Vars["port"], "what all have is said once, and is a number still")
	assert.Equal(t, "1", routers.Hosts["a"]["zone"], "text that looks like a number is text still")
	assert.Equal(t, 2, routers.Hosts["b"]["mesh_id"])
	assert.Equal(t, "10.0.0.11", routers.Hosts["b"]["lab_address"])
	assert.Equal(t, "b.lab", routers.Hosts["b"]["ansible_host"])
	assert.Equal(t, map[string]map[string]any{"node-s": {
		"ansible_host": "node-s.lab", "ansible_control_path": "/run/cp/node-s",
		"lab_address": "10.0.0.100", "lab_site": "s", "lab_zone": "",
	}}, got.All.Children["nodes"].Hosts)
	assert.Contains(t, got.All.Children["clouds"].Hosts, "b")
}

func TestSSHConfig(t *testing.T) {
	got := example(t).SSHConfig(topology.Files{Tool: "/a b/lab", Config: "c", Key: "/k", KnownHosts: "/h"})
	assert.Contains(t, got, "Host office-1 office-1.lab\n  ProxyCommand '/a b/lab' dial wgmesh-lab.mgmt 1\n")
	assert.Contains(t, got, "StrictHostKeyChecking yes\n")
	assert.Contains(t, got, "GlobalKnownHostsFile /dev/null\n")
}

func TestHostname(t *testing.T) {
	assert.Equal(t, "db-1.example", topology.Host{Name: "db_1.example"}.Hostname())
}
