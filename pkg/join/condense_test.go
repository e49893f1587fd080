package join

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
