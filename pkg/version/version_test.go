package version_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/version"
)

// A program of Go has the note where it is looked for, and a damaged one has nothing.
func TestOf(t *testing.T) {
	self := must.Get(os.Executable())(t)
	want := must.Get(exec.Command("go", "tool", "buildid", self).Output())(t)
	assert.Equal(t, strings.TrimSpace(string(want)), version.Of(self))

	path := filepath.Join(t.TempDir(), "program")
	assert.Empty(t, version.Of(path))
	for text, want := range map[string]string{
		"": "", "\x04\x00\x00\x00Go\x00\x00abc": "", "#!/bin/sh\n": "",
		"\x03\x00\x00\x00\x04\x00\x00\x00Go\x00\x00abcd": "abc",
		"\xff\xff\xff\xff\x04\x00\x00\x00Go\x00\x00abcd": "abcd",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		assert.Equal(t, want, version.Of(path), "%q", text)
	}
}
