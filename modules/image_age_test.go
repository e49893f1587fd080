package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The role installs what is absent and upgrades nothing, so a run of it makes no image newer.
func TestOnlyABuildMakesTheImageNew(t *testing.T) {
	tasks, err := os.ReadFile("../roles/router/tasks/main.yml")
	require.NoError(t, err)
	found := regexp.MustCompile(`mkdir -p /etc/wgmesh &&[^\n]*`).FindString(string(tasks))
	require.NotEmpty(t, found)
	dir := filepath.Join(t.TempDir(), "wgmesh")
	image, old := filepath.Join(dir, "image"), time.Unix(1_500_000_000, 0)
	run := func(build string) time.Time {
		command := regexp.MustCompile(`{{[^}]*}}`).ReplaceAllString(found, build)
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(command, "/etc/wgmesh", dir)).CombinedOutput()
		require.NoError(t, err, string(out))
		info, err := os.Stat(image)
		require.NoError(t, err)
		return info.ModTime()
	}
	assert.False(t, run("False").Equal(old), "made a router")
	require.NoError(t, os.Chtimes(image, old, old))
	assert.True(t, run("False").Equal(old), "a later run")
	assert.False(t, run("True").Equal(old), "an image build")
}
