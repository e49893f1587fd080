package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	birdconfig "github.com/wgmesh/router/modules/bird_config"
	cloudforwarding "github.com/wgmesh/router/modules/cloud_forwarding"
	cloudroutes "github.com/wgmesh/router/modules/cloud_routes"
	meshgate "github.com/wgmesh/router/modules/mesh_gate"
	meshguard "github.com/wgmesh/router/modules/mesh_guard"
	meshmeasure "github.com/wgmesh/router/modules/mesh_measure"
	meshpeer "github.com/wgmesh/router/modules/mesh_peer"
	meshplan "github.com/wgmesh/router/modules/mesh_plan"
	meshpreflight "github.com/wgmesh/router/modules/mesh_preflight"
	meshpreview "github.com/wgmesh/router/modules/mesh_preview"
	meshstatus "github.com/wgmesh/router/modules/mesh_status"
	meshsteps "github.com/wgmesh/router/modules/mesh_steps"
	sysctlrouter "github.com/wgmesh/router/modules/sysctl_router"
	wgkeypair "github.com/wgmesh/router/modules/wg_keypair"
	wgpsk "github.com/wgmesh/router/modules/wg_psk"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
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

// An option that the documentation names is one that the module reads, and the
// other way round, at every depth.
func TestOptionsAreDocumented(t *testing.T) {
	options := map[string]any{
		"bird_config":      birdconfig.Options{},
		"cloud_forwarding": cloudforwarding.Options{},
		"cloud_routes":     cloudroutes.Options{},
		"mesh_gate":        meshgate.Options{},
		"mesh_guard":       meshguard.Options{},
		"mesh_measure":     meshmeasure.Options{},
		"mesh_peer":        meshpeer.Options{},
		"mesh_plan":        meshplan.Options{},
		"mesh_preflight":   meshpreflight.Options{},
		"mesh_preview":     meshpreview.Options{},
		"mesh_status":      meshstatus.Options{},
		"mesh_steps":       meshsteps.Options{},
		"sysctl_router":    sysctlrouter.Options{},
		"wg_keypair":       wgkeypair.Options{},
		"wg_psk":           wgpsk.Options{},
		"wg_tunnel":        wgtunnel.Options{},
	}
	require.Len(t, options, len(modules())+len(inCloud))
	for name, value := range options {
		t.Run(name, func(t *testing.T) {
			doc := readDocumented(t, "modules/"+inAnsible(name))
			for _, fragment := range doc.Fragments {
				shared, ours := strings.CutPrefix(fragment, "wgmesh.router.")
				require.True(t, ours, fragment)
				maps.Copy(doc.Options, readDocumented(t, "doc_fragments/"+shared).Options)
			}
			assert.Equal(t, tags(reflect.TypeOf(value), ""), doc.names(""))
		})
	}
}

type documented struct {
	Options    map[string]documented `yaml:"options"`
	Suboptions map[string]documented `yaml:"suboptions"`
	Fragments  []string              `yaml:"extends_documentation_fragment"`
}

// readDocumented reads the documentation of a plugin, by its path without an ending.
func readDocumented(t *testing.T, plugin string) documented {
	t.Helper()
	raw := must.Get(os.ReadFile("../collection/plugins/" + plugin + ".py"))(t)
	m := regexp.MustCompile(`(?s)DOCUMENTATION = r"""(.*?)"""`).FindSubmatch(raw)
	require.NotNil(t, m, "no DOCUMENTATION")
	var doc documented
	require.NoError(t, yaml.Unmarshal(m[1], &doc))
	return doc
}

// names lists the options below prefix, sorted, as "tunnels.peers.endpoint".
func (d documented) names(prefix string) []string {
	var out []string
	for _, options := range []map[string]documented{d.Options, d.Suboptions} {
		for name, o := range options {
			out = append(append(out, prefix+name), o.names(prefix+name+".")...)
		}
	}
	slices.Sort(out)
	return out
}

// tags lists the same of a struct. Values of a map have free names, so what is
// below a map is described in words.
func tags(t reflect.Type, prefix string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[fmt.Stringer]()) {
		return nil
	}
	var out []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "":
			out = append(out, tags(f.Type, prefix)...)
		default:
			out = append(append(out, prefix+name), tags(f.Type, prefix+name+".")...)
		}
	}
	slices.Sort(out)
	return out
}
