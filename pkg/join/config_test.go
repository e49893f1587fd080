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

// command runs "wgmesh join ARGS" and returns its exit status and what it said on both outputs.
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
	tests := map[string]struct{ text, says string }{ // behind the name of the file
		"unknown mode": {
			"router: azure-1\ninventory: /i\nmode: contoller\n",
			`:3: mode: "contoller" is not known; expected router or controller`,
		},
		"unknown field": {
			"inventory: /i\nrouters: azure-1\n",
			":2: routers: is not known; expected one of ansible_bin_dir, controller, discovery_timeout, " +
				"group, identity_file, inventory, inventory_max_age, mode, play_timeout, router, state_dir",
		},
		"unknown field inside": {
			"mode: controller\ncontroller:\n  key: abc\n",
			":3: controller.key: is not known; expected one of allow_http, ca_file, host_config_key_file, url",
		},
		"twice":         {"inventory: /i\nmode: router\ninventory: /j\n", ":3: inventory: is set in line 1 already"},
		"empty":         {"", ": is empty; an example is in examples/join/join.yml"},
		"only comments": {"# nothing\n", ": is empty; an example is in examples/join/join.yml"},
		"syntax":        {"inventory: /i\nmode: [router\n", ":2: is not YAML: did not find expected ',' or ']'"},
		"syntax, indent": {
			"router: a\ninventory:\n  - /i\n - /j\n", ":4: is not YAML: did not find expected key",
		},
		"syntax, tab": {"inventory:\n\t- /i\n", ":2: is not YAML: found character that cannot start any token"},
		"syntax, colon": {
			"inventory: /i\nrouter: a: b\n",
			":2: is not YAML: mapping values are not allowed in this context",
		},
		"not UTF-8": {"router: \xff\n", ": is not YAML: invalid leading UTF-8 octet"},
		"a list":    {"- mode\n", `:1: the file: expected fields and values, such as "ansible_bin_dir: ..."`},
		"two documents": {
			"inventory: /i\n---\nmode: router\n",
			": holds more than one document; expected one, without ---",
		},
		"no inventory": {
			"router: azure-1\n",
			": inventory is missing: name the sources of ansible-inventory that say who is in the mesh",
		},
		"inventory, list":   {"inventory: [/i, j.yml]\n", `:1: inventory[1]: "j.yml" does not start with /`},
		"inventory, nested": {"inventory: {a: b}\n", ":1: inventory: expected a text, found fields"},
		"inventory, null":   {"inventory:\n", ":1: inventory: expected a text, found nothing"},
		"router, pattern": {
			"inventory: /i\nrouter: \"azure-*\"\n", `:2: router: "azure-*" is a pattern and no name`,
		},
		"duration": {
			"inventory: /i\nplay_timeout: 10\n",
			`:2: play_timeout: "10" is not a duration; expected one such as 90s or 10m`,
		},
		"duration, null": {
			"inventory: /i\nplay_timeout: 0s\n",
			`:2: play_timeout: "0s" is not a duration; expected one such as 90s or 10m`,
		},
		"identity": {
			"inventory: /i\nidentity_file: ~/.ssh/id\n",
			`:2: identity_file: "~/.ssh/id" does not start with /`,
		},
		"no controller": {
			"mode: controller\n",
			`: controller.url is missing: the job template's page shows it as "Provisioning callback URL"`,
		},
		"no key file": {
			"mode: controller\ncontroller: " + url + "}\n",
			": controller.host_config_key_file is missing: " +
				"name a file of mode 0600 with the job template's host config key",
		},
		"plain HTTP": {
			"mode: controller\ncontroller: " + strings.Replace(url, "https", "http", 1) + "}\n",
			`:2: controller.url: starts with "http://"; ` +
				`expected https, since the host config key goes there (controller.allow_http: true permits http)`,
		},
		"no slash": {
			"mode: controller\ncontroller: {url: https://awx.example/api/v2/job_templates/7/callback}\n",
			`:2: controller.url: "/api/v2/job_templates/7/callback" does not end in /callback/; ` +
				`copy the job template's "Provisioning callback URL"`,
		},
		"password in the URL": {
			"mode: controller\ncontroller: {url: https://me:canary@awx.example/callback/}\n",
			":2: controller.url: holds a user or a query; " +
				"the callback needs the host config key only, in controller.host_config_key_file",
		},
		"no URL": {
			"mode: controller\ncontroller: {url: awx.example}\n",
			":2: controller.url: is not a URL; expected https://HOST/api/v2/job_templates/NUMBER/callback/",
		},
		"allow_http": {
			"mode: controller\ncontroller: {allow_http: \"yes\"}\n",
			`:2: controller.allow_http: "yes" is neither true nor false`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := file(t, filepath.Join(t.TempDir(), "join.yml"), tt.text, 0o644)
			status, said := command(t, "--config", path)
			assert.Equal(t, "wgmesh join: "+path+tt.says+"\n", said)
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

// needs is what "wgmesh join --core" says about sources.
func needs(t *testing.T, sources ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := join.Command(t.Context(), append([]string{"--core"}, sources...), &stdout, &stderr)
	require.Zero(t, status, stderr.String())
	return stdout.String()
}

func TestCoreThatASourceNeeds(t *testing.T) {
	for _, test := range []struct {
		name, file, text string
		mode             os.FileMode
		want             string
	}{
		{"list", "routers.yml", "all: {hosts: {a: {plugin: x}}}\n", 0o644, "2.14\n"},
		{
			"list with marks", "routers.yml",
			"all: {hosts: {a: {x: !unsafe '{{ 1 }}', y: !vault 'z'}}}\n", 0o644, "2.14\n",
		},
		{"list in JSON", "routers.json", `{"all": {"hosts": {"a": {}}}}`, 0o644, "2.14\n"},
		{"list as ini", "routers", "[routers]\na mesh_id=1\n", 0o644, "2.14\n"},
		{"nothing", "routers.yml", "", 0o644, "2.14\n"},
		{"AWS", "aws_ec2.yml", "plugin: amazon.aws.aws_ec2\n", 0o644, "2.19\n"},
		{"AWS in JSON", "aws_ec2.yml", `{"plugin": "aws_ec2"}`, 0o644, "2.19\n"},
		{"by a merge", "x.yml", "a: &a {plugin: amazon.aws.aws_ec2}\n<<: *a\n", 0o644, "2.19\n"},
		{"what is not YAML", "x.yml", "plugin: amazon.aws.aws_ec2\nplugin: again\n", 0o644, "2.19\n"},
		{"encrypted", "x.yml", "$ANSIBLE_VAULT;1.1;AES256\n3132\n", 0o644, "2.19\n"},
		{"program", "routers.yml", "#!/bin/sh\n", 0o755, "2.19\n"},
		{"ours", "consul.yml", "plugin: wgmesh.router.consul\n", 0o644, "2.14\n"},
		{"another of that name", "consul.yml", "plugin: other.router.consul\n", 0o644, "2.19\n"},
		{"link", "link.yml", "", 0, "2.19\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := dir + "/" + test.file
			if test.mode == 0 {
				require.NoError(t, os.Symlink(file(t, t.TempDir()+"/real", "plugin: x\n", 0o644), path))
			} else {
				file(t, path, test.text, test.mode)
			}
			assert.Equal(t, test.want, needs(t, path))

			// The same in a folder, below one, and beside others.
			file(t, dir+"/a.yml", "all: {}\n", 0o644)
			assert.Equal(t, test.want, needs(t, dir))
			above := t.TempDir()
			require.NoError(t, os.Symlink(dir, above+"/linked"))
			assert.Equal(t, test.want, needs(t, dir+"/a.yml", above), "behind a link to a folder")
			assert.Equal(t, test.want, needs(t, above+"/linked"))
		})
	}
}

func TestWhatIsNoSource(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{
		"group_vars/all.yml", "host_vars/a.yml", ".hidden.yml", "old.yml~", "old.orig", "b/group_vars/all.yml",
	} {
		file(t, dir+"/"+path, "plugin: amazon.aws.aws_ec2\n", 0o644)
	}
	assert.Equal(t, "2.14\n", needs(t, dir))

	require.NoError(t, os.Symlink("..", dir+"/b/round"))
	var stdout, stderr bytes.Buffer
	assert.Equal(t, 78, join.Command(t.Context(), []string{"--core", dir}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "remove a link to a folder above")
}

// An Ansible that would run a tag is not let near one, nor near what it said before.
func TestOldCore(t *testing.T) {
	for said, want := range map[string]string{
		"ansible-inventory [core 2.14.18]":         "ansible-core here is 2.14, which runs",
		"ansible-inventory [core 2.18.99]":         "ansible-core here is 2.18, which runs",
		"ansible-inventory 2.9.27":                 "ansible-core here is an unknown version, which runs",
		"ansible-inventory [core 2.19.0]":          "",
		"ansible-inventory [core 2.20.0.dev0]\n x": "",
		"ansible-inventory [core 3.0.1]":           "",
	} {
		t.Run(said, func(t *testing.T) {
			l := alone(t, "router: azure-1\n")
			_, first := l.join() // leaves an answer that would serve
			require.Contains(t, first, "azure-1 is in the mesh")
			file(t, l.path("inventory.yml"), "plugin: amazon.aws.aws_ec2\n", 0o600)
			l.program("ansible-inventory",
				`if [ "$1" = --version ]; then echo '`+said+`'; exit; fi; touch `+l.path("asked")+`; cat <<'END'
`+list+`
END`)
			status, line := l.join()
			if want == "" {
				assert.Zero(t, status, line)
				return
			}
			assert.Equal(t, 78, status)
			assert.Contains(t, line,
				"wgmesh join: DIR/inventory.yml: "+want+
					" what this source finds as templates, as root; "+
					"expected 2.19 or newer: build the image with router_join_discovery: true")
			assert.NoFileExists(t, l.path("asked"))
		})
	}
}
