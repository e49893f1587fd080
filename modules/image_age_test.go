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

	"github.com/wgmesh/router/internal/must"
)

// A run that is cut off before the end has made nobody a router: the mesh play says so.
func TestImageIsNotedAtTheEnd(t *testing.T) {
	tasks := must.Get(os.ReadFile("../roles/router/tasks/main.yml"))(t)
	noted := strings.Index(string(tasks), "touch /etc/wgmesh/image")
	joins := strings.Index(string(tasks), "import_tasks: join.yml")
	assert.Positive(t, joins)
	assert.Greater(t, noted, joins)
}

// The role installs what is absent and upgrades nothing, so a run of it makes no image newer.
func TestOnlyABuildMakesTheImageNew(t *testing.T) {
	tasks := must.Get(os.ReadFile("../roles/router/tasks/main.yml"))(t)
	found := regexp.MustCompile(`mkdir -p /etc/wgmesh &&[^\n]*`).FindString(string(tasks))
	require.NotEmpty(t, found)
	dir := filepath.Join(t.TempDir(), "wgmesh")
	image, old := filepath.Join(dir, "image"), time.Unix(1_500_000_000, 0)
	run := func(build string) time.Time {
		command := regexp.MustCompile(`{{[^}]*}}`).ReplaceAllString(found, build)
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(command, "/etc/wgmesh", dir)).CombinedOutput()
		require.NoError(t, err, string(out))
		info := must.Get(os.Stat(image))(t)
		return info.ModTime()
	}
	assert.False(t, run("False").Equal(old), "made a router")
	require.NoError(t, os.Chtimes(image, old, old))
	assert.True(t, run("False").Equal(old), "a later run")
	assert.False(t, run("True").Equal(old), "an image build")
}
