//go:build integration

package join_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// eachCore runs a test with the oldest and the newest ansible-core.
func eachCore(t *testing.T, test func(t *testing.T, bin string)) {
	t.Helper()
	for _, core := range []string{"2.14", "newest"} {
		t.Run(core, func(t *testing.T) {
			bin := must.Get(filepath.Abs("../../build/venv-" + core + "/bin"))(t)
			require.FileExists(t, bin+"/ansible-inventory", "run .ci/venv")
			t.Setenv("PATH", bin+":/usr/bin:/bin")
			t.Setenv("HOME", t.TempDir())
			t.Setenv("ANSIBLE_NOCOLOR", "1")
			test(t, bin)
		})
	}
}

// listed is what ansible-inventory says about sources, without what only its
// newest version adds.
func listed(t *testing.T, sources ...string) map[string]any {
	t.Helper()
	args := []string{"--list"}
	for _, source := range sources {
		args = append(args, "-i", source)
	}
	var errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "ansible-inventory", args...)
	cmd.Stderr = &errOut
	text, err := cmd.Output()
	require.NoError(t, err, errOut.String())
	var list map[string]any
	require.NoError(t, json.Unmarshal(text, &list))
	delete(list["_meta"].(map[string]any), "profile")
	for _, group := range list {
		for _, key := range []string{"children", "hosts"} {
			if names, found := group.(map[string]any)[key].([]any); found {
				set := map[any]bool{}
				for _, name := range names {
					set[name] = true
				}
				group.(map[string]any)[key] = set
			}
		}
	}
	return list
}

// What is kept means the same to Ansible as what was found: variables of hosts
// and groups, nested groups, group_vars, templates, and values that must never
// be templates.
func TestKeptMeansTheSame(t *testing.T) {
	eachCore(t, func(t *testing.T, bin string) {
		l := alone(t, "")
		t.Setenv("PATH", bin+":/usr/bin:/bin")
		source := l.path("source")
		file(t, source+"/a.yml", `
all:
  vars: {everywhere: "{{ 1 + 1 }}"}
  children:
    routers:
      vars: {mesh_sites: {a: {as: 65001, networks: [10.0.0.0/8]}}, prio: routers, ansible_group_priority: 10}
      hosts:
        azure-1: {mesh_id: 1, null: null, float: 1.5, true: true, text: "yes", date: 2024-01-01,
                  tag: !unsafe "{{ lookup('pipe', 'touch /canary') }}"}
        azure-2: {mesh_id: 2, ansible_port: 2222, ansible_host: "2001:db8::1"}
      children:
        cloud: {hosts: {aws-1: {mesh_id: 3}}, children: {deep: {hosts: {aws-2: {"päth": "ü"}}}}}
    low: {vars: {prio: low}, hosts: {azure-1: {}}}
    empty: {}
other: {hosts: {web: {}}}
`, 0o600)
		file(t, source+"/group_vars/routers.yml", "adjacent: \"from {{ inventory_hostname }}\"\n", 0o600)
		script := file(t, l.path("script"), `#!/bin/sh
echo '{"tagged": {"hosts": ["s1"]}, "_meta": {"hostvars": {"s1": {
	"tag": {"__ansible_unsafe": "{{ 7 * 7 }}"}, "template": "{{ 7 * 7 }}"}}}}'
`, 0o700)
		sources, hosts := []string{source, script}, "s1,azure-1"
		if filepath.Base(t.Name()) == "2.14" { // which is let near no program's answer
			sources, hosts = sources[:1], "azure-1"
		}
		file(t, l.config,
			fmt.Sprintf("router: azure-1\ninventory: [%s]\nidentity_file: %s\nansible_bin_dir: %s\nstate_dir: %s\n",
				strings.Join(sources, ", "), l.path("id"), l.path("bin"), l.path("state")), 0o600)
		// The real ansible-inventory, and no play.
		require.NoError(t, os.Remove(l.path("bin/ansible-inventory")))
		_, said := l.join()
		kept := l.path("state/inventory.json")
		require.FileExists(t, kept, said)
		assert.Equal(t, listed(t, sources...), listed(t, kept))

		// It is read as a template, or as none, where it was.
		show := exec.CommandContext(t.Context(), "ansible", "-i", kept, hosts, "-m",
			"ansible.builtin.debug", "-a", "msg={{ tag }}/{{ template | default(everywhere) }}")
		out := must.Run(t, show)
		if len(sources) > 1 {
			assert.Contains(t, out, "{{ 7 * 7 }}/49")
		}
		assert.Contains(t, out, "touch /canary') }}/2")
		assert.NoFileExists(t, "/canary")
	})
}

// A host that is not a router cannot take a router's place, or spoil the file, by a name that
// Ansible would read as a pattern.
func TestNamesAreNoPatterns(t *testing.T) {
	eachCore(t, func(t *testing.T, bin string) {
		l := alone(t, "router: azure-1\n")
		l.program("ansible-inventory", `cat <<'END'
{"routers": {"hosts": ["azure-1", "office-1"]}, "db": {"children": ["old"], "hosts": ["my db", "azure-1:22"]},
 "old": {"hosts": ["db [old]", "azure-[1:1]", "[azure-1]:22", "2001:db8::1", "office-1:"]},
 "_meta": {"hostvars": {"azure-1": {"mesh_id": 1}, "azure-1:22": {"mesh_id": 2}, "azure-[1:1]": {"mesh_id": 3}}}}
END`)
		l.ends(0)
		t.Setenv("PATH", bin+":/usr/bin:/bin")
		kept := listed(t, l.path("state/inventory.json"))
		vars := kept["_meta"].(map[string]any)["hostvars"]
		assert.Equal(t, map[string]any{"azure-1": map[string]any{"mesh_id": 1.0}}, vars)
		assert.Equal(t, map[any]bool{"azure-1": true, "office-1": true}, kept["routers"].(map[string]any)["hosts"])
		assert.Equal(t, map[any]bool{"my db": true}, kept["db"].(map[string]any)["hosts"])
		assert.Empty(t, kept["old"])
	})
}

// hostile is an inventory plugin that hands over a tag as those of the clouds do.
const hostile = `
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable
DOCUMENTATION = """
name: hostile
options: {plugin: {type: str}}
extends_documentation_fragment: [ansible.builtin.constructed]
"""
class InventoryModule(BaseInventoryPlugin, Constructable):
    NAME = "hostile"
    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        inventory.add_group("routers")
        inventory.add_host("azure-1", group="routers")
        tags = {"zone": "{{ lookup('pipe', 'touch CANARY') }}"}
        inventory.set_variable("azure-1", "tags", tags)
        self._set_composite_vars(self.get_option("compose"), {"tags": tags}, "azure-1", strict=True)
`

// Who may write the tag of a VM runs nothing on a router, whatever its Ansible is.
func TestTagIsNoTemplate(t *testing.T) {
	eachCore(t, func(t *testing.T, bin string) {
		l := alone(t, "")
		t.Setenv("PATH", bin+":/usr/bin:/bin")
		canary := l.path("canary")
		file(t, l.path("plugins/hostile.py"), strings.ReplaceAll(hostile, "CANARY", canary), 0o600)
		t.Setenv("ANSIBLE_INVENTORY_PLUGINS", l.path("plugins"))
		source := file(t, l.path("routers.yml"),
			"plugin: hostile\ncompose: {mesh_zone: tags.zone | default('')}\n", 0o600)
		file(t, l.config,
			fmt.Sprintf("router: azure-1\ninventory: %s\nidentity_file: %s\nansible_bin_dir: %s\nstate_dir: %s\n",
				source, l.path("id"), l.path("bin"), l.path("state")), 0o600)
		require.NoError(t, os.Remove(l.path("bin/ansible-inventory")))
		status, said := l.join()
		if filepath.Base(t.Name()) == "2.14" {
			assert.Equal(t, 78, status)
			assert.Contains(t, said,
				"DIR/routers.yml: ansible-core here is 2.14, which runs what this source finds as templates, as root; "+
					"expected 2.19 or newer")
			assert.NoFileExists(t, canary)
			listed(t, source) // and it would have
			assert.FileExists(t, canary)
			return
		}
		assert.Zero(t, status, said)
		show := exec.CommandContext(t.Context(), "ansible", "-i", l.path("state/inventory.json"),
			"azure-1", "-m", "ansible.builtin.debug", "-a", "msg={{ mesh_zone }}")
		out := must.Run(t, show)
		assert.Contains(t, out, "{{ lookup(")
		assert.NoFileExists(t, canary)
	})
}

// What real Ansible says about sources that it cannot read, in one line.
func TestDiscoveryFails(t *testing.T) {
	old := func(name string) string {
		return "DIR/" + name +
			": ansible-core here is 2.14, which runs what this source finds as templates, as root; " +
			"expected 2.19 or newer: build the image with router_join_discovery: true, " +
			"or put one into /opt/wgmesh/ansible/bin"
	}
	sources := map[string]struct {
		text string
		mode os.FileMode
		want map[string]string
	}{
		"bad.yml": {"all:\n  hosts: {a: [}\n", 0o600, map[string]string{
			"2.14": "DIR/bad.yml:2: did not find expected node content",
			"newest": "DIR/bad.yml:2: YAML parsing failed: " +
				"Colons in unquoted values must be followed by a non-space character.",
		}},
		"bad.sh": {"#!/bin/sh\necho 'boto: no credentials' >&2; exit 3\n", 0o700, map[string]string{
			"2.14":   old("bad.sh"),
			"newest": "DIR/bad.sh: Inventory script returned non-zero exit code 3. boto: no credentials",
		}},
		"no.aws_ec2.yml": {"plugin: amazon.nowhere.aws_ec2\n", 0o600, map[string]string{
			"2.14": old("no.aws_ec2.yml"),
			"newest": "DIR/no.aws_ec2.yml: inventory config 'DIR/no.aws_ec2.yml' specifies unknown plugin " +
				"'amazon.nowhere.aws_ec2'",
		}},
		"bad.ini": {"[routers]\nazure-1 foo\n", 0o600, map[string]string{
			"2.14":   "DIR/bad.ini:2: Expected key=value host variable assignment, got: foo",
			"newest": "DIR/bad.ini: Failed to parse inventory: Expected key=value host variable assignment, got: foo",
		}},
	}
	eachCore(t, func(t *testing.T, bin string) {
		core := strings.TrimPrefix(t.Name(), "TestDiscoveryFails/")
		for name, source := range sources {
			t.Run(name, func(t *testing.T) {
				l := alone(t, "")
				t.Setenv("PATH", bin+":/usr/bin:/bin")
				file(t, l.path(name), source.text, source.mode)
				file(t, l.config,
					fmt.Sprintf("router: azure-1\ninventory: %s\nidentity_file: %s\nstate_dir: %s\n", l.path(name),
						l.path("id"), l.path("state")), 0o600)
				status, said := l.join()
				if want := source.want[core]; want == old(name) {
					assert.Equal(t, "wgmesh join: "+want+"\n", said)
					assert.Equal(t, 78, status)
					return
				}
				assert.Equal(t, "wgmesh join: discovery failed: "+source.want[core]+"\n", said)
				assert.Equal(t, 75, status)
			})
		}
	})
}
