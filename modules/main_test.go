package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
)

func TestSearch(t *testing.T) {
	// As Debian's su leaves it, without --login.
	assert.Equal(t, "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		search("/usr/local/bin:/usr/bin:/bin"))
	assert.NotContains(t, ":"+search("")+":", "::", "the folder that this runs in would be searched")
}

func TestChoose(t *testing.T) {
	table := modules()
	for name, tt := range map[string]struct {
		args, left []string
		found      bool
	}{
		"by argument": {args: []string{"/x/wgmesh", "wg_tunnel"}, left: []string{}, found: true},
		"by argument, file": {
			args: []string{"/x/wgmesh", "wg_tunnel", "args"}, left: []string{"args"}, found: true,
		},
		"by name": {args: []string{"/tmp/wg_tunnel", "args"}, left: []string{"args"}, found: true},
		"by Ansible's name": {
			args: []string{"/tmp/ansible-tmp-1/AnsiballZ_wg_tunnel", "args"},
			left: []string{"args"}, found: true,
		},
		"by name, stdin":        {args: []string{"/tmp/wg_tunnel"}, left: []string{}, found: true},
		"no argument":           {args: []string{"wgmesh"}},
		"for a person":          {args: []string{"wgmesh", "--help"}, left: []string{"--help"}},
		"module that is no one": {args: []string{"wgmesh", "wg_tunel", "args"}, left: []string{"wg_tunel", "args"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, left, found := choose(table, tt.args)
			assert.Equal(t, tt.found, found)
			assert.Equal(t, tt.left, left)
		})
	}
}

// A command is found behind the modules, so that no name may mean both.
func TestNoCommandIsAModule(t *testing.T) {
	for name := range commands() {
		assert.NotContains(t, modules(), name)
		_, left, found := choose(modules(), []string{"wgmesh", name, "--help"})
		assert.False(t, found)
		assert.Equal(t, []string{name, "--help"}, left)
	}
}

// Whoever keeps a change, or takes it back, waits as long as those who call through the gate and queue at
// the same lock. One that gave up before had the router take a good change back.
func TestASettlementWaitsForItsTurn(t *testing.T) {
	patience := func(m ansible.Module) int64 { return reflect.ValueOf(m).FieldByName("patience").Int() }
	assert.Equal(t, patience(modules()["mesh_peer"].Patient()), patience(modules()["mesh_guard"]))
}

func TestPerson(t *testing.T) {
	self := must.Get(os.Executable())(t)
	content := must.Get(os.ReadFile(self))(t)
	for name, tt := range map[string]struct {
		argv        []string
		status      int
		out, errOut string
	}{
		"help":           {[]string{"--help"}, 0, "\n  wg_tunnel\n", ""},
		"help, commands": {[]string{"--help"}, 0, "\nCommands:\n", ""},
		"help, join":     {[]string{"--help"}, 0, "\n  join\n", ""},
		"version": {
			[]string{"--version"},
			0,
			fmt.Sprintf("wgmesh unknown commit unknown build %x ", sha256.Sum256(content)), "",
		},
		"nothing":        {nil, 2, "", "wgmesh MODULE [FILE]"},
		"unknown module": {[]string{"wg_tunel", "args"}, 2, "", "wgmesh: wg_tunel: no such module or command\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			assert.Equal(t, tt.status, person(tt.argv, &out, &errOut))
			assert.Contains(t, out.String(), tt.out)
			assert.Contains(t, errOut.String(), tt.errOut)
			assert.Equal(t, tt.status == 0, errOut.Len() == 0)
		})
	}
}

// A caller that says nothing is sent away, and one that asks for too much is told
// why, in the form in which Ansible shows it.
func TestGateAnswers(t *testing.T) {
	run := func(ctx context.Context, in io.Reader, args ...string) (int, string) {
		var out, errs bytes.Buffer
		status := gateCommand(ctx, args, in, &out, &errs)
		return status, out.String() + errs.String()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	silent, w := io.Pipe()
	defer w.Close()
	status, said := run(ctx, silent, "azure-1")
	assert.Equal(t, 1, status)
	assert.Contains(t, said, `"msg":"gate: no request came within 10s`)

	status, said = run(t.Context(), strings.NewReader("id\n"), "azure-1")
	assert.Equal(t, 1, status)
	assert.Contains(t, said, `"failed":true`)

	status, said = run(t.Context(), strings.NewReader(""))
	assert.Equal(t, 2, status)
	assert.Contains(t, said, "wgmesh gate ROUTER")
}

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
