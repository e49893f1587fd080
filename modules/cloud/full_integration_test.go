//go:build integration

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A daemon that begins to fail on a full /run is not taken for one that is well.
func TestNotesWithoutRoom(t *testing.T) {
	folder := t.TempDir()
	nettest.Mount(t, folder, "tmpfs", "64k")
	path := filepath.Join(folder, "failure")
	said := func() string { return strings.TrimSpace(string(must.Get(os.ReadFile(path))(t))) }
	note(path, "")
	nettest.Fill(t, folder)
	for _, line := range []string{"rtb-0a: denied", "", "rtb-1a: denied, for another reason", "rtb-1a: gone"} {
		note(path, line)
		assert.Equal(t, line, said())
	}
}
