package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestJoinWithoutItsProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "wgmesh-cloud")
	var out, errOut bytes.Buffer
	assert.Equal(t, 78, joinCommand(program)(t.Context(), nil, nil, &out, &errOut))
	assert.Equal(t,
		"wgmesh join: "+program+
			": no such file or directory; the play wgmesh.router.image with router_join: true brings it\n",
		errOut.String())
	assert.Empty(t, out.String())
}

// The other program gets the arguments and its exit status counts. This test becomes it.
func TestJoinIsTheOtherProgram(t *testing.T) {
	if program := os.Getenv("JOIN_PROGRAM"); program != "" {
		t.Fatal("it came back",
			joinCommand(program)(t.Context(), []string{"--config", "a b"}, nil, os.Stdout, os.Stderr))
	}
	program := filepath.Join(t.TempDir(), "wgmesh-cloud")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\nprintf '%s.' \"$@\"\nexit 75\n"), 0o755))
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestJoinIsTheOtherProgram$")
	self.Env = append(os.Environ(), "JOIN_PROGRAM="+program)
	said, err := self.Output()
	exit := new(exec.ExitError)
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 75, exit.ExitCode())
	assert.Equal(t, "join.--config.a b.", string(said))
}
