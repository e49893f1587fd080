package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// A module is there only when it is in all places: its folder, the table, its
// documentation, the routing to the action plugin and the action group.
func TestEveryModuleIsEverywhere(t *testing.T) {
	want := slices.Sorted(maps.Keys(modules()))

	assert.Equal(t, want, names(t, "*/*.go", `^([a-z_]+)/([a-z_]+)\.go$`), "folders")
	assert.Equal(t, want, names(t, "../collection/plugins/modules/*.py", `/([a-z_]+)\.py$`), "documentation")

	raw, err := os.ReadFile("../collection/meta/runtime.yml")
	require.NoError(t, err)
	var meta struct {
		Groups  map[string][]string `yaml:"action_groups"`
		Routing struct {
			Modules map[string]struct {
				Plugin string `yaml:"action_plugin"`
			} `yaml:"modules"`
		} `yaml:"plugin_routing"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &meta))
	assert.Equal(t, want, slices.Sorted(maps.Keys(meta.Routing.Modules)), "routing")
	assert.Equal(t, want, meta.Groups["all"], "action group")
	for name, route := range meta.Routing.Modules {
		assert.Equal(t, "wgmesh.router.wgmesh", route.Plugin, name)
	}
}

// names lists what the last group of pattern matches in the paths of a glob,
// of those whose groups are all the same.
func names(t *testing.T, glob, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(glob)
	require.NoError(t, err)
	re := regexp.MustCompile(pattern)
	var out []string
	for _, path := range paths {
		if m := re.FindStringSubmatch(path); m != nil && m[1] == m[len(m)-1] {
			out = append(out, m[1])
		}
	}
	return out
}
