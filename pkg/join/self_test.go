package join

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/inventory"
)

func TestSelf(t *testing.T) {
	i := listing{inventory.List{
		Groups: map[string]inventory.Group{"routers": {
			Hosts: []string{"azure-1", "azure-2", "office-1", "old", "older"},
		}},
		Vars: map[string]map[string]json.RawMessage{
			"azure-1": {
				"mesh_endpoint": json.RawMessage(`"203.0.113.11"`),
				"ansible_host":  json.RawMessage(`"10.1.1.4"`),
			},
			"azure-2": {
				"mesh_endpoint": json.RawMessage(`"203.0.113.12"`),
				"ansible_host":  json.RawMessage(`"::ffff:10.1.2.4"`),
			},
			"office-1": {"mesh_endpoint": json.RawMessage(`{"__ansible_unsafe": "192.0.2.11"}`)},
			"old": {
				"mesh_endpoint": json.RawMessage(`"203.0.113.11"`),
				"ansible_host":  json.RawMessage(`"10.1.3.4"`),
				"mesh_state":    json.RawMessage(`{"__ansible_unsafe": "absent"}`),
			},
			"older": {
				"mesh_endpoint": json.RawMessage(`"10.1.3.4"`),
				"ansible_host":  json.RawMessage(`"10.1.3.5"`),
				"mesh_state":    json.RawMessage(`"absent"`),
			},
		},
	}}
	tests := map[string]struct {
		router, hostname string
		addresses        []string
		want, err        string
	}{
		"as configured":      {router: "azure-2", hostname: "azure-1", want: "azure-2"},
		"by name":            {hostname: "azure-1", addresses: []string{"10.1.2.4"}, want: "azure-1"},
		"by the short name":  {hostname: "office-1.example.net", want: "office-1"},
		"by private address": {hostname: "vm", addresses: []string{"10.1.1.4"}, want: "azure-1"},
		"by mapped address":  {hostname: "vm", addresses: []string{"10.1.2.4"}, want: "azure-2"},
		"by a cloud's tag":   {hostname: "vm", addresses: []string{"192.0.2.11"}, want: "office-1"},
		"not one that is absent, which had its address": {
			hostname: "vm", addresses: []string{"203.0.113.11"}, want: "azure-1",
		},
		"an absent one's alone":  {hostname: "vm", addresses: []string{"10.1.3.5"}, want: "older"},
		"of two that are absent": {hostname: "vm", addresses: []string{"10.1.3.4"}, want: "old"},
		"both of one":            {hostname: "vm", addresses: []string{"10.1.1.4", "203.0.113.11"}, want: "azure-1"},
		"none": {
			hostname: "vm", addresses: []string{"10.9.9.9"},
			err: "which router is this? The group routers has azure-1, azure-2, office-1, old, older, " +
				"none with the name vm or an address of this machine; set router in /j",
		},
		"several": {
			hostname: "vm", addresses: []string{"10.1.1.4", "10.1.2.4"},
			err: "which router is this? Addresses of this machine are those of azure-1 and azure-2; set router in /j",
		},
		"a name that is none": {
			router: "azure-3", hostname: "azure-1",
			err: "router azure-3 is not in the group routers of the inventory, " +
				"which has azure-1, azure-2, office-1, old, older; correct router in /j, or the inventory",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := machine{hostname: tt.hostname}
			for _, a := range tt.addresses {
				m.addresses = append(m.addresses, netip.MustParseAddr(a))
			}
			got, err := self(Config{Path: "/j", Router: tt.router, Group: "routers"}, m, i)
			assert.Equal(t, tt.want, got)
			if tt.err != "" {
				assert.EqualError(t, err, tt.err)
			}
		})
	}
}

func TestCondense(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":   {"", ""},
		"a warning": {"[WARNING]: running playbook inside collection wgmesh.router\n", ""},
		"an error": {
			"[WARNING]: x\nERROR! the playbook: y could not\nbe found\n", "the playbook: y could not be found",
		},
		"core 2.19": {
			"[ERROR]: the playbook: y could not be found\n\nOrigin: /x\n",
			"the playbook: y could not be found",
		},
		"Python fails": {
			"Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'yaml'\n",
			"ModuleNotFoundError: No module named 'yaml'",
		},
		"words to a terminal": {
			"ERROR! the \x1b[2Jplay\u009b1mbook\r\a of \u202eazure-1\x7f failed\u2028now\n",
			"the [2Jplay 1mbook of azure-1 failed now",
		},
		"only ini, which reads anything": {
			"[WARNING]:  * Failed to parse /x with ini plugin: y\n" +
				"ERROR! Completely failed to parse inventory source /x\n",
			"/x: Ansible cannot read it",
		},
		"a hyphen at the end of a line": {
			"[WARNING]:  * Failed to parse /etc/a-\nb.yml with yaml\nplugin: no such\nthing\n" +
				"ERROR! Completely failed to parse inventory source /etc/a-\nb.yml\n",
			"/etc/a-b.yml: no such thing",
		},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.want, condense(tt.text)) })
	}
}

// The lines are those of a machine whose user-data had "write_files:\n  - path:
// /etc/wgmesh/join.yml\n   content: [".
func TestUserDataIsNoYAML(t *testing.T) {
	log := filepath.Join(t.TempDir(), "cloud-init.log")
	assert.EqualError(t, missing("/j", log),
		"/j: no such file; user-data (cloud-init, write_files) or the image brings it: see `grep WARNING "+log+"`")
	require.NoError(t,
		os.WriteFile(log,
			[]byte(`2026-11-24 03:05:25,083 - util.py[WARNING]: Failed loading yaml blob. `+
				`Invalid format at line 3 column 3: "while parsing a block collection
  in "<unicode string>", line 3, column 3: secret
2026-11-24 03:05:25,224 - cloud_config.py[WARNING]: Failed at merging in cloud config part from part-001: `+
				`empty cloud config
`), 0o600))
	assert.EqualError(t, missing("/j", log),
		"/j: no such file; the user-data that should bring it is not YAML: invalid format at line 3 column 3, says "+
			log)
}
