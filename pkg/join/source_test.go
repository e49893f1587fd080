package join_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/join"
)

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
	assert.Contains(t, stderr.String(), "is there a link to a folder above?")
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
