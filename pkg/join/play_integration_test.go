//go:build integration

package join_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A disk that is full, or read-only, is not a wrong configuration: another try comes soon.
func TestDiskIsMended(t *testing.T) {
	l := alone(t, "router: azure-1\n")
	state := l.path("state")
	require.NoError(t, os.Mkdir(state, 0o700))
	nettest.Mount(t, state, "tmpfs", "64k")
	nettest.Fill(t, state)
	assert.Contains(t, l.ends(75), "no space left on device: make room and make it writable\n")
	require.NoError(t, unix.Mount("", state, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	assert.Contains(t, l.ends(75), "read-only file system: make room and make it writable\n")
	require.NoError(t, unix.Mount("", state, "", unix.MS_REMOUNT, "size=1m"))
	assert.Contains(t, l.ends(0), "azure-1 is in the mesh")
}

// What ssh says about some routers; it is asked by address.
const ssh = `#!/bin/sh
case "$*" in
*192.0.2.11*) echo 'wgmesh@192.0.2.11: Permission denied (publickey).' ;;
*192.0.2.12*)
	printf '@@@@@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@@@@\n'
	printf 'IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\nHost key verification failed.\n' ;;
*192.0.2.13*)
	printf 'No ED25519 host key is known for office-3 and you have requested strict checking.\n'
	printf 'Host key verification failed.\n' ;;
*192.0.2.14*) echo 'ssh: connect to host 192.0.2.14 port 22: No route to host' ;;
*192.0.2.15*) echo 'Connection timed out during banner exchange' ;;
*192.0.2.17*) ;;
*192.0.2.16*) echo 'ssh: Could not resolve hostname office-6: Name or service not known' ;;
esac >&2
exit 255
`

// The modules of a play, in a shell. The router aws-2 does not like to be peered
// with and says so with controls of a terminal, aws-3 does not let it in, and azure-1 itself has an
// error when it is told to.
const (
	meshPeer = `#!/bin/sh
# WANT_JSON
if grep -q '"aws-2"' "$1"; then
	printf '%s\n' '{"failed": true, "msg": "wg8: this router\nknows azure-1 \u001b\u009b\u202eunder another id"}'
elif grep -q '"aws-3"' "$1"; then echo 'wgmesh gate: azure-1 has no tunnel with aws-3' >&2; exit 1
elif grep -q '"known"' "$1"; then echo '{"changed": false}'
else echo '{"changed": true}'; fi
`
	wgKeypair = `#!/bin/sh
# WANT_JSON
if grep -q '"cloned"' "$1"; then
	echo '{"changed": true, "warnings": ["the machine id changed since\\nthe keys were made (a cloned disk?)"]}'
else echo '{"changed": false}'; fi
`
	meshPlan = `#!/bin/sh
# WANT_JSON
if grep -q '"bad"' "$1"; then echo '{"failed": true, "msg": "router old-1: id is missing"}'
else echo '{"changed": false, "warnings": ["old-2 is left out: it was removed from the mesh"]}'; fi
`
	meshGate = `#!/bin/sh
# WANT_JSON
if grep -q '"removed"' "$1"; then
	echo '{"changed": true, "removed": ["aws-2"], "warnings": ["aws-2 was removed from the mesh, ` +
		`say aws-1 and gcp-1"]}'
else echo '{"changed": false, "removed": []}'; fi
`
	wgTunnel = `#!/bin/sh
# WANT_JSON
if grep -q '"broken"' "$1"; then echo '{"failed": true, "msg": "wg8: no such device"}'
else echo '{"changed": true}'; fi
`
)

// The play as wgmesh.router.join has it: the keys, ask, tell, set up the own end.
const play = `
- hosts: "{{ wgmesh_self }}"
  gather_facts: false
  tasks:
    - wgmesh.router.mesh_plan_info: {router: "{{ plan }}"}
      when: plan is defined
    - wgmesh.router.wg_keypair: {name: "{{ own_keys | default('good') }}"}
- hosts: routers:!{{ wgmesh_self }}
  gather_facts: false
  ignore_unreachable: true
  tasks:
    - when: mesh_state | default('present') != 'absent'
      block:
        - wgmesh.router.mesh_peer: {state: known, me: "{{ inventory_hostname }}"}
          register: asked
      rescue:
        - ansible.builtin.set_fact: {asked: {}}
- hosts: "{{ wgmesh_self }}"
  gather_facts: false
  tasks:
    - wgmesh.router.mesh_gate: {heard: "{{ heard }}"}
      when: heard is defined
- hosts: routers:!{{ wgmesh_self }}
  gather_facts: false
  ignore_unreachable: true
  tasks:
    - wgmesh.router.mesh_peer: {state: peered, me: "{{ inventory_hostname }}"}
      when: asked.changed is defined and asked is not skipped and
        not (heard is defined and inventory_hostname == 'aws-2')
- hosts: "{{ wgmesh_self }}"
  gather_facts: false
  tasks:
    - wgmesh.router.wg_tunnel: {state: "{{ own_end | default('good') }}"}
    - ansible.builtin.fail: {msg: "{{ own_problem }}"}
      when: own_problem is defined
`

// joining is a router with real Ansible, and the hosts and the play above.
func joining(t *testing.T, bin, hosts string) lone {
	t.Helper()
	l := alone(t, "")
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	t.Setenv("ANSIBLE_COLLECTIONS_PATH", l.path("collections"))
	t.Setenv("ANSIBLE_SSH_EXECUTABLE", file(t, l.path("ssh"), ssh, 0o700))
	root := l.path("collections/ansible_collections/wgmesh/router/")
	for _, path := range []string{"plugins/callback/join.py", "plugins/plugin_utils/answers.py"} {
		file(t, root+"/"+path, string(must.Get(os.ReadFile("../../collection/"+path))(t)), 0o600)
	}
	file(t, root+"/plugins/modules/mesh_peer", meshPeer, 0o700)
	file(t, root+"/plugins/modules/mesh_plan_info", meshPlan, 0o700)
	file(t, root+"/plugins/modules/mesh_gate", meshGate, 0o700)
	file(t, root+"/plugins/modules/wg_keypair", wgKeypair, 0o700)
	file(t, root+"/plugins/modules/wg_tunnel", wgTunnel, 0o700)
	file(t, root+"/playbooks/join.yml", play, 0o600)
	inventory := file(t, l.path("inventory.yml"),
		"routers:\n  hosts:\n    azure-1: {ansible_connection: local}\n"+hosts, 0o600)
	file(t, l.config,
		fmt.Sprintf("router: azure-1\ninventory: %s\nidentity_file: %s\nstate_dir: %s\n", inventory,
			l.path("id"), l.path("state")), 0o600)
	return l
}

func TestPlay(t *testing.T) {
	const (
		two    = "    aws-1: {ansible_connection: local}\n    gcp-1: {ansible_connection: local}\n"
		absent = "    old-1: {ansible_host: 192.0.2.14, mesh_state: absent}\n"
	)
	tests := map[string]struct {
		hosts  string
		status int
		said   []string
	}{
		"all": {two + absent, 0, []string{"wgmesh join: azure-1 is in the mesh: 2 of 2 peers, 3 things changed"}},
		"ssh says no": {
			two + `    office-1: {ansible_host: 192.0.2.11}
    office-2: {ansible_host: 192.0.2.12}
    office-3: {ansible_host: 192.0.2.13}
    office-4: {ansible_host: 192.0.2.14}
    office-5: {ansible_host: 192.0.2.15}
    office-6: {ansible_host: 192.0.2.16}
    office-7: {ansible_host: 192.0.2.17}
`, 75, []string{
				"office-1: refused the key of azure-1: its inventory has another mesh_host_key for azure-1, or none",
				"office-2: its SSH host key is not the mesh_host_key of the inventory",
				"office-3: its SSH host key is not the mesh_host_key of the inventory",
				"office-4: cannot be reached: connect to host 192.0.2.14 port 22: No route to host",
				"office-5: cannot be reached: Connection timed out during banner exchange",
				"office-6: cannot be reached: Could not resolve hostname office-6: Name or service not known",
				"office-7: cannot be reached: ssh does not say why",
				"wgmesh join: azure-1: peered with 2 of 9 routers; " +
					"not with office-1, office-2, office-3, office-4, office-5, office-6, office-7; 3 things changed",
			},
		},
		"a peer refuses": {
			two + "    aws-2: {ansible_connection: local}\n    aws-3: {ansible_connection: local}\n", 75,
			[]string{
				"aws-3: ended without a result: wgmesh gate: azure-1 has no tunnel with aws-3",
				"aws-2: wg8: this router knows azure-1 under another id",
				"wgmesh join: azure-1: peered with 2 of 4 routers; not with aws-2, aws-3; 3 things changed",
			},
		},
		"the own end": {
			two + "  vars: {own_end: broken}\n", 75,
			[]string{
				"azure-1: wg8: no such device",
				"wgmesh join: azure-1: peered with 2 of 2 routers, but the play failed: the lines above say why",
			},
		},
		"a cloned disk": {
			two + "  vars: {own_keys: cloned}\n", 0,
			[]string{
				"azure-1: the machine id changed since the keys were made (a cloned disk?)",
				"wgmesh join: azure-1 is in the mesh: 2 of 2 peers, 4 things changed",
			},
		},
		"the mesh is refused": {
			two + "  vars: {plan: bad}\n", 75,
			[]string{
				"azure-1: router old-1: id is missing",
				"wgmesh join: azure-1: the play failed before it had asked another router: the lines above say why",
			},
		},
		"one that was removed from the mesh, and could not be reached": {
			two + "    aws-2: {ansible_host: 192.0.2.14}\n  vars: {plan: good, heard: removed}\n", 0,
			[]string{
				"azure-1: old-2 is left out: it was removed from the mesh",
				"aws-2: cannot be reached: connect to host 192.0.2.14 port 22: No route to host",
				"azure-1: aws-2 was removed from the mesh, say aws-1 and gcp-1",
				"wgmesh join: azure-1 is in the mesh: 2 of 2 peers, 4 things changed",
			},
		},
		"the network": {
			two + "  vars: {own_problem: \"wg8 with aws-1: no handshake\"}\n", 75,
			[]string{
				"azure-1: wg8 with aws-1: no handshake",
				"wgmesh join: azure-1: peered with 2 of 2 routers, but the play failed: the lines above say why",
			},
		},
	}
	eachCore(t, func(t *testing.T, bin string) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				l := joining(t, bin, tt.hosts)
				lines := strings.Split(strings.TrimSpace(l.ends(tt.status)), "\n")
				assert.ElementsMatch(t, tt.said, lines)
				assert.Equal(t, tt.said[len(tt.said)-1], lines[len(lines)-1], "the outcome is the last line")
			})
		}
	})
}

func TestVerbose(t *testing.T) {
	eachCore(t, func(t *testing.T, bin string) {
		l := joining(t, bin, "    gcp-1: {ansible_connection: local}\n")
		status, said := l.join("--verbose")
		assert.Contains(t, said, "PLAY RECAP")
		assert.Regexp(t,
			regexp.MustCompile(`\nwgmesh join: azure-1 is in the mesh: 1 of 1 peers, 2 things changed\n$`), said)
		assert.Zero(t, status)
	})
}

// The plugin is of use without the command.
func TestPluginAlone(t *testing.T) {
	eachCore(t, func(t *testing.T, bin string) {
		l := joining(t, bin, "    gcp-1: {ansible_connection: local}\n    office-1: {ansible_host: 192.0.2.11}\n")
		require.NoError(t, os.Remove(l.path("bin/ansible-inventory")))
		l.program("ansible-playbook", "unset WGMESH_JOIN_REPORT; exec "+filepath.Join(bin, "ansible-playbook")+` "$@"`)
		t.Setenv("PATH", l.path("bin")+":"+bin+":/usr/bin:/bin")
		assert.Contains(t, l.ends(75), "\nazure-1: peered with 1 of 2 routers; not with office-1\n")
	})
}

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

// listed is what ansible-inventory says about sources, without what only its newest version adds.
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

// What is kept means the same to Ansible as what was found: variables of hosts and groups, nested
// groups, group_vars, templates, and values that must never be templates.
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
