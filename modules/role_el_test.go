package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// EL cannot be run here: nothing serves its packages. So the role's scripts see a host that
// looks like one: dnf, rpm, systemctl and chrony of files, no apt. It shows what the role
// would ask of EL, not that EL does it.
func TestRoleAsksOfEL(t *testing.T) {
	const packages, units = "wireguard-tools bird nftables chrony", "wgmesh-metadata wgmesh-hostkeys"
	type files = map[string]string
	dir := t.TempDir()
	for _, tt := range []struct {
		name  string
		files files // beside those of the hosts before
		want  []string
	}{
		{"a new host", files{
			"os-release": "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "birds": "",
			"installed": "nftables\nchrony", "enabled": "chronyd\nfirewalld", "module": "wireguard.ko.xz",
			"chrony.conf": "pool 2.rocky.pool.ntp.org iburst\n",
		}, []string{
			"manager=dnf", "wireguard=kernel", "missing=wireguard-tools bird", "epel=missing", "chrony=chronyd",
			"off=bird wgmesh-metadata wgmesh-hostkeys", "firewalld=enabled", "metadata=absent",
		}},
		{"with EPEL, or a mirror that has BIRD", files{"birds": "bird-0:2.15.1-1.el9.x86_64"}, []string{"epel="}},
		{"a router", files{
			"installed": strings.ReplaceAll(packages, " ", "\n"),
			"enabled":   strings.ReplaceAll("bird chronyd "+units, " ", "\n"),
		}, []string{"missing=", "off="}},
		{"Fedora, whose own packages have BIRD", files{
			"os-release": "NAME=\"Fedora Linux\"\nID=fedora\n", "birds": "", "installed": "",
		}, []string{"epel="}},
		{"a kernel without WireGuard", files{"module": ""}, []string{"missing=" + packages + " wireguard-go"}},
	} {
		for name, text := range tt.files {
			must.Write(t, filepath.Join(dir, name), text, 0o644)
		}
		said := onEL(t, dir, "state.sh", "wireguard-tools bird2 chrony", packages, "wireguard-go", units)
		for _, line := range tt.want {
			assert.Contains(t, strings.Split(said, "\n"), line, tt.name)
		}
	}
	said := onEL(t, dir, "state.sh", "", "bird nftables ntpsec", "wireguard-go", "")
	assert.Regexp(t, `(?ms)^chrony=$.*^makestep=yes$`, said, "a host whose time something else keeps")

	assert.Equal(t, "changed\n", onEL(t, dir, "makestep.sh"))
	assert.Contains(t, string(must.Get(os.ReadFile(filepath.Join(dir, "chrony.conf")))(t)), "\nmakestep 1 -1\n")
	assert.Empty(t, onEL(t, dir, "makestep.sh"), "a second run")
}

// onEL runs a script of the role on a host whose files are in dir, and its programs.
func onEL(t *testing.T, dir, script string, args ...string) string {
	t.Helper()
	for name, text := range map[string]string{
		"modinfo":   `[ -s "$here/module" ]`,
		"rpm":       `for p; do :; done; grep -qx "$p" "$here/installed"`,
		"dnf":       `[ "$*" != "-q repoquery bird" ] || cat "$here/birds"`,
		"systemctl": `for u; do :; done; grep -qx "$u" "$here/enabled" && echo enabled || echo disabled`,
	} {
		must.Write(t, filepath.Join(dir, name), "#!/bin/sh\nhere="+dir+"\n"+text+"\n", 0o755)
	}
	for _, name := range []string{"grep", "cat", "uname"} {
		require.NoError(t, exec.Command("ln", "-sf", must.Get(exec.LookPath(name))(t), dir).Run())
	}
	text := string(must.Get(os.ReadFile(roleFiles + script))(t))
	for _, path := range []string{"/etc/os-release", "/etc/chrony", "/sys/module/", "/lib/modules/"} {
		text = strings.ReplaceAll(text, path, filepath.Join(dir, filepath.Base(path)))
	}
	cmd := exec.Command("sh", append([]string{"-c", text, script}, args...)...)
	cmd.Env = []string{"PATH=" + dir}
	return must.Run(t, cmd)
}
