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
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
)

// inCloud are the modules of the other program, wgmesh-cloud.
var inCloud = []string{"cloud_forwarding", "cloud_routes", "mesh_preview"}

// onlyRead are the modules that are called _info in Ansible.
var onlyRead = []string{"mesh_measure", "mesh_plan", "mesh_preflight", "mesh_preview", "mesh_status"}

// neverOther came when they were called so already.
var neverOther = []string{"mesh_preview"}

// inAnsible is the name by which a task calls a module.
func inAnsible(module string) string {
	if slices.Contains(onlyRead, module) {
		return module + "_info"
	}
	return module
}

// inPython are action plugins alone.
var inPython = []string{"bounded_raw", "mesh_report", "without_facts"}

// A module is there only when it is in all places: its folder, the table, its
// documentation, its action plugin and the action group.
func TestEveryModuleIsEverywhere(t *testing.T) {
	want := slices.Sorted(slices.Values(append(inCloud, slices.Collect(maps.Keys(modules()))...)))
	assert.Equal(t, want, names(t, "*/*.go", `^([a-z_]+)/([a-z_]+)\.go$`), "folders")

	for i, name := range want {
		want[i] = inAnsible(name)
	}
	slices.Sort(want)
	raw := must.Get(os.ReadFile("../collection/meta/runtime.yml"))(t)
	var meta struct {
		Groups  map[string][]string `yaml:"action_groups"`
		Routing map[string]map[string]struct {
			Redirect string
		} `yaml:"plugin_routing"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &meta))
	for _, kind := range []string{"action", "modules"} {
		had := slices.DeleteFunc(slices.Clone(onlyRead), func(name string) bool {
			return slices.Contains(neverOther, name)
		})
		assert.Equal(t, had, slices.Sorted(maps.Keys(meta.Routing[kind])), "former names: "+kind)
		for name, to := range meta.Routing[kind] {
			assert.Equal(t, "wgmesh.router."+inAnsible(name), to.Redirect)
		}
	}
	assert.Equal(t, want, meta.Groups["all"], "action group")

	want = slices.Sorted(slices.Values(append(want, inPython...)))
	assert.Equal(t, want, names(t, "../collection/plugins/modules/*.py", `/([a-z_]+)\.py$`), "documentation")
	assert.Equal(t, want, names(t, "../collection/plugins/action/*.py", `/([a-z_]+)\.py$`), "action plugins")
}

// The class of the action plugins takes these modules from wgmesh-cloud, and no others.
func TestThePluginKnowsTheProgram(t *testing.T) {
	plugin := must.Get(os.ReadFile("../collection/plugins/plugin_utils/wgmesh.py"))(t)
	table := regexp.MustCompile(`(?m)^PROGRAMS = \{(.*)\}$`).FindSubmatch(plugin)
	require.NotNil(t, table, "no PROGRAMS")
	program := must.Get(os.ReadFile("cloud/main.go"))(t)
	var found, there []string
	for _, m := range regexp.MustCompile(`"(\w+)": "wgmesh-cloud"`).FindAllSubmatch(table[1], -1) {
		found = append(found, string(m[1]))
	}
	for _, m := range regexp.MustCompile(`"(\w+)": +ansible\.New`).FindAllSubmatch(program, -1) {
		there = append(there, string(m[1]))
	}
	assert.Equal(t, inCloud, found)
	assert.Equal(t, inCloud, there)
}

// names lists what the last group of pattern matches in the paths of a glob,
// of those whose groups are all the same.
func names(t *testing.T, glob, pattern string) []string {
	t.Helper()
	paths := must.Get(filepath.Glob(glob))(t)
	re := regexp.MustCompile(pattern)
	var out []string
	for _, path := range paths {
		if m := re.FindStringSubmatch(path); m != nil && m[1] == m[len(m)-1] {
			out = append(out, m[1])
		}
	}
	return out
}
