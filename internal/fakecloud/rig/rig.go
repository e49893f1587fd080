// Package rig runs a module of a cloud against its stand-in.
package rig

import (
	"maps"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/ansible"
)

// Options are what a task gives to a module.
type Options map[string]any

// And returns the options with more of them.
func (o Options) And(more Options) Options {
	out := maps.Clone(o)
	maps.Copy(out, more)
	return out
}

// A Task makes a module that runs on a machine with these words of DMI.
type Task func(dmi fstest.MapFS) ansible.Module

// DMI is what the firmware says of a machine, file by file.
func DMI(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return out
}

// On runs the module as Ansible does, and returns its one line of JSON.
func (task Task) On(t *testing.T, dmi fstest.MapFS, o Options) map[string]any {
	t.Helper()
	return nettest.Result(t, task(dmi), o)
}

// Run runs the module on a machine outside of any cloud.
func (task Task) Run(t *testing.T, o Options) map[string]any {
	t.Helper()
	return task.On(t, fstest.MapFS{}, o)
}

// Succeeds runs the module, which must not fail.
func (task Task) Succeeds(t *testing.T, o Options) map[string]any {
	t.Helper()
	result := task.Run(t, o)
	require.NotContains(t, result, "failed", "%v", result["msg"])
	return result
}

// Fails runs the module, which must fail, and returns its message of one line.
func (task Task) Fails(t *testing.T, o Options) string {
	t.Helper()
	message, _ := task.fails(t, o)
	return message
}

// FailsUnchanged is Fails of a module that has changed nothing.
func (task Task) FailsUnchanged(t *testing.T, o Options) string {
	t.Helper()
	message, changed := task.fails(t, o)
	assert.False(t, changed)
	return message
}

// FailsChanged is Fails of a module that has changed something before.
func (task Task) FailsChanged(t *testing.T, o Options) string {
	t.Helper()
	message, changed := task.fails(t, o)
	assert.True(t, changed)
	return message
}

func (task Task) fails(t *testing.T, o Options) (message string, changed bool) {
	t.Helper()
	result := task.Run(t, o)
	require.Equal(t, true, result["failed"], "%v", result)
	assert.NotContains(t, result["msg"], "\n")
	return result["msg"].(string), result["changed"].(bool)
}

// Unchanged runs the module, which must find nothing to do and know it.
func (task Task) Unchanged(t *testing.T, o Options) {
	t.Helper()
	result := task.Succeeds(t, o)
	assert.Equal(t, false, result["changed"])
	assert.Equal(t, true, result["verified"])
	assert.NotContains(t, result, "done")
}
