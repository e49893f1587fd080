package join

import (
	"testing"

	"github.com/stretchr/testify/assert"
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
