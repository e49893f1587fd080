package join_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/join"
)

// command runs "wgmesh join ARGS" and returns its exit status and what it said
// on both outputs.
func command(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	var out, errOut bytes.Buffer
	status = join.Command(t.Context(), args, &out, &errOut)
	return status, out.String() + errOut.String()
}

// file writes a file of the test and returns its path.
func file(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	must.Write(t, path, content, 0o600)
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestBadConfig(t *testing.T) {
	const url = "{url: https://awx.example/api/v2/job_templates/7/callback/"
	tests := map[string]struct{ text, line string }{
		"unknown mode": {
			"router: azure-1\ninventory: /i\nmode: contoller\n",
			`FILE:3: mode: "contoller" is not known; expected router or controller`,
		},
		"unknown field": {
			"inventory: /i\nrouters: azure-1\n",
			"FILE:2: routers: is not known; expected one of ansible_bin_dir, controller, discovery_timeout, " +
				"group, identity_file, inventory, inventory_max_age, mode, play_timeout, router, state_dir",
		},
		"unknown field inside": {
			"mode: controller\ncontroller:\n  key: abc\n",
			"FILE:3: controller.key: is not known; expected one of allow_http, ca_file, host_config_key_file, url",
		},
		"twice": {
			"inventory: /i\nmode: router\ninventory: /j\n", "FILE:3: inventory: is set in line 1 already",
		},
		"empty":         {"", "FILE: is empty; an example is in examples/join/join.yml"},
		"only comments": {"# nothing\n", "FILE: is empty; an example is in examples/join/join.yml"},
		"syntax": {
			"inventory: /i\nmode: [router\n", "FILE:2: is not YAML: did not find expected ',' or ']'",
		},
		"syntax, indent": {
			"router: a\ninventory:\n  - /i\n - /j\n", "FILE:4: is not YAML: did not find expected key",
		},
		"syntax, tab": {
			"inventory:\n\t- /i\n", "FILE:2: is not YAML: found character that cannot start any token",
		},
		"syntax, colon": {
			"inventory: /i\nrouter: a: b\n",
			"FILE:2: is not YAML: mapping values are not allowed in this context",
		},
		"not UTF-8": {"router: \xff\n", "FILE: is not YAML: invalid leading UTF-8 octet"},
		"a list": {
			"- mode\n", `FILE:1: the file: expected fields and values, such as "ansible_bin_dir: ..."`,
		},
		"two documents": {
			"inventory: /i\n---\nmode: router\n",
			"FILE: holds more than one document; expected one, without ---",
		},
		"no inventory": {
			"router: azure-1\n",
			"FILE: inventory is missing: name the sources of ansible-inventory that say who is in the mesh",
		},
		"inventory, list":   {"inventory: [/i, j.yml]\n", `FILE:1: inventory[1]: "j.yml" does not start with /`},
		"inventory, nested": {"inventory: {a: b}\n", "FILE:1: inventory: expected a text, found fields"},
		"inventory, null":   {"inventory:\n", "FILE:1: inventory: expected a text, found nothing"},
		"router, pattern": {
			"inventory: /i\nrouter: \"azure-*\"\n", `FILE:2: router: "azure-*" is a pattern and no name`,
		},
		"duration": {
			"inventory: /i\nplay_timeout: 10\n",
			`FILE:2: play_timeout: "10" is not a duration; expected one such as 90s or 10m`,
		},
		"duration, null": {
			"inventory: /i\nplay_timeout: 0s\n",
			`FILE:2: play_timeout: "0s" is not a duration; expected one such as 90s or 10m`,
		},
		"identity": {
			"inventory: /i\nidentity_file: ~/.ssh/id\n",
			`FILE:2: identity_file: "~/.ssh/id" does not start with /`,
		},
		"no controller": {
			"mode: controller\n",
			`FILE: controller.url is missing: the job template's page shows it as "Provisioning callback URL"`,
		},
		"no key file": {
			"mode: controller\ncontroller: " + url + "}\n",
			"FILE: controller.host_config_key_file is missing: " +
				"name a file of mode 0600 with the job template's host config key",
		},
		"plain HTTP": {
			"mode: controller\ncontroller: " + strings.Replace(url, "https", "http", 1) + "}\n",
			`FILE:2: controller.url: starts with "http://"; ` +
				`expected https, since the host config key goes there (controller.allow_http: true permits http)`,
		},
		"no slash": {
			"mode: controller\ncontroller: {url: https://awx.example/api/v2/job_templates/7/callback}\n",
			`FILE:2: controller.url: "/api/v2/job_templates/7/callback" does not end in /callback/; ` +
				`copy the job template's "Provisioning callback URL"`,
		},
		"password in the URL": {
			"mode: controller\ncontroller: {url: https://me:canary@awx.example/callback/}\n",
			"FILE:2: controller.url: holds a user or a query; " +
				"the callback needs the host config key only, in controller.host_config_key_file",
		},
		"no URL": {
			"mode: controller\ncontroller: {url: awx.example}\n",
			"FILE:2: controller.url: is not a URL; expected https://HOST/api/v2/job_templates/NUMBER/callback/",
		},
		"allow_http": {
			"mode: controller\ncontroller: {allow_http: \"yes\"}\n",
			`FILE:2: controller.allow_http: "yes" is neither true nor false`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := file(t, filepath.Join(t.TempDir(), "join.yml"), tt.text, 0o644)
			status, said := command(t, "--config", path)
			assert.Equal(t, "wgmesh join: "+strings.ReplaceAll(tt.line, "FILE", path)+"\n", said)
			assert.Equal(t, 78, status)
			assert.NotContains(t, said, "canary")
		})
	}
}

func TestNoConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "join.yml")
	status, said := command(t, "--config", path)
	assert.Contains(t, said, "wgmesh join: "+path+": no such file; ")
	assert.Equal(t, 78, status)
}

func TestGoodConfig(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "join.yml"), "inventory: [/a, /b]\nplay_timeout: 90s\n", 0o644)
	c := must.Get(join.Load(path))(t)
	assert.Equal(t, []string{"/a", "/b"}, c.Inventory)
	assert.Equal(t, "router", c.Mode)
	assert.Equal(t, "routers", c.Group)
	assert.Equal(t, "1m30s", c.PlayTimeout.String())
	assert.Equal(t, "1m0s", c.DiscoveryTimeout.String())
	assert.Equal(t, "/etc/ssh/ssh_host_ed25519_key", c.IdentityFile)
}

// The examples of the documentation are read as they are.
func TestExamples(t *testing.T) {
	c := must.Get(join.Load("../../examples/join/join.yml"))(t)
	assert.Equal(t, []string{"/etc/wgmesh/inventory.yml"}, c.Inventory)
}

func TestUsage(t *testing.T) {
	status, said := command(t, "--help")
	assert.Zero(t, status)
	assert.Contains(t, said, "wgmesh join [--config FILE] [--verbose]")

	for _, args := range [][]string{{"--conf"}, {"now"}} {
		status, said = command(t, args...)
		assert.Equal(t, 64, status)
		assert.Contains(t, said, "wgmesh join: ")
	}
}
