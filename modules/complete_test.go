package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
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
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
	"github.com/wgmesh/router/pkg/keypair"
	"github.com/wgmesh/router/pkg/measure"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/sysctl"
	"github.com/wgmesh/router/pkg/wg"
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
// other way round, at every depth. What it is without the option is the same, too.
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
			unset := reflect.New(reflect.TypeOf(value)).Interface()
			if o, ok := unset.(interface{ SetDefaults() }); ok {
				o.SetDefaults()
			}
			var defaults map[string]any
			require.NoError(t, json.Unmarshal(must.Get(json.Marshal(unset))(t), &defaults))
			for option, o := range doc.Options {
				if o.Type != "dict" { // none, or a plan
					assert.Equal(t, written(t, o.Default), written(t, defaults[option]), "default of "+option)
				}
			}
		})
	}
}

// written is a value as JSON; empty: it is, in some type.
func written(t *testing.T, value any) string {
	t.Helper()
	text := string(must.Get(json.Marshal(value))(t))
	if slices.Contains([]string{"null", "false", "0", `""`, "[]", "{}"}, text) {
		return ""
	}
	return text
}

type documented struct {
	Type       string                `yaml:"type"`
	Default    any                   `yaml:"default"`
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

// Every module that is linked, for either system, has its licence in what is shipped.
func TestLicences(t *testing.T) {
	said := must.Get(exec.CommandContext(t.Context(), "python3", "../.ci/licences").Output())(t)
	text := string(said)
	assert.Contains(t, text, "Copyright 2009 The Go Authors")
	for _, architecture := range []string{"amd64", "arm64"} {
		list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", ".", "./cloud")
		list.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+architecture, "CGO_ENABLED=0")
		modules := must.Get(list.Output())(t)
		for _, module := range strings.Split(strings.TrimSpace(string(modules)), "\n") {
			assert.Contains(t, text, "\n"+module+", ")
		}
	}
}

// A variable that a role, a playbook or a plugin reads is one that an operator can
// find: an option of a role's argument_specs.yml, or a row of docs/variables.md.
func TestVariablesAreDocumented(t *testing.T) {
	documented := roleOptions(t)
	page := must.Get(os.ReadFile("../docs/variables.md"))(t)
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)`").FindAllStringSubmatch(string(page), -1) {
		assert.NotContains(t, documented, row[1], "docs/variables.md repeats an option of a role")
		documented[row[1]] = true
	}
	inner := innerNames(t)
	used := usedVariables(t)
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !documented[name] && !inner[name] {
			t.Errorf(
				"%s: the variable %s is documented nowhere: "+
					"add it to the role's argument_specs.yml or to docs/variables.md",
				used[name], name)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)`").FindAllStringSubmatch(string(page), -1) {
		assert.Contains(t, used, row[1], "docs/variables.md has a variable that nothing reads")
	}
}

// ours are the names of variables that operators set; those that begin with two
// underscores are our own.
var ours = regexp.MustCompile(`(?:^|[^\w.])((?:router|mesh|routes|wgmesh|packer)_[a-z0-9_]*[a-z0-9])\b`)

// usedVariables lists the names that look like an operator's variable, each with a
// file that has it.
func usedVariables(t *testing.T) map[string]string {
	t.Helper()
	used := map[string]string{}
	comment := regexp.MustCompile(`(?m)(?:^|\s)#.*$|inet \w+`) // and tables of nftables
	templates := regexp.MustCompile(`\{\{.*?\}\}`)
	literal := regexp.MustCompile(`["']((?:router|mesh|routes|wgmesh|packer)_[a-z0-9_]*[a-z0-9])["']`)
	walk(t, func(path, text string) {
		switch {
		case strings.HasSuffix(path, ".yml"), strings.HasSuffix(path, ".j2"):
			for _, m := range ours.FindAllStringSubmatch(comment.ReplaceAllString(text, ""), -1) {
				used[m[1]] = path
			}
		case strings.HasSuffix(path, ".py"):
			found := literal.FindAllStringSubmatch(text, -1)
			for _, example := range templates.FindAllString(text, -1) {
				found = append(found, ours.FindAllStringSubmatch(example, -1)...)
			}
			for _, m := range found {
				used[m[1]] = path
			}
		}
	}, "../collection/playbooks", "../collection/plugins", "../roles")
	return used
}

// innerNames are names of other things that look alike: plugins, what they take and
// answer, and files.
func innerNames(t *testing.T) map[string]bool {
	t.Helper()
	inner := map[string]bool{}
	walk(t, func(path, text string) {
		inner[strings.TrimSuffix(filepath.Base(path), ".py")] = true
		for _, line := range regexp.MustCompile(`(?m)^\s*(\w+):`).FindAllStringSubmatch(text, -1) {
			inner[line[1]] = true
		}
	}, "../collection/plugins/modules", "../collection/plugins/action",
		"../collection/plugins/filter", "../collection/plugins/doc_fragments")
	answers := must.Get(os.ReadFile("../collection/plugins/plugin_utils/answers.py"))(t)
	for _, key := range regexp.MustCompile(`"(\w+)\??":`).FindAllStringSubmatch(string(answers), -1) {
		inner[key[1]] = true
	}
	runtime := must.Get(os.ReadFile("../collection/meta/runtime.yml"))(t)
	for _, name := range ours.FindAllStringSubmatch(string(runtime), -1) {
		inner[name[1]] = true
	}
	return inner
}

// roleOptions are the options of all roles. Their defaults are those that the role sets.
func roleOptions(t *testing.T) map[string]bool {
	t.Helper()
	options := map[string]bool{}
	walk(t, func(path, text string) {
		if filepath.Base(path) != "argument_specs.yml" {
			return
		}
		var specs struct {
			Points map[string]struct {
				Options map[string]documented `yaml:"options"`
			} `yaml:"argument_specs"`
		}
		require.NoError(t, yaml.Unmarshal([]byte(text), &specs), path)
		var defaults map[string]any
		set := filepath.Join(filepath.Dir(path), "../defaults/main.yml")
		require.NoError(t, yaml.Unmarshal(must.Get(os.ReadFile(set))(t), &defaults))
		for point, spec := range specs.Points {
			for name, option := range spec.Options {
				options[name] = true
				// What is computed is described in words.
				if value := written(t, defaults[name]); option.Default != nil || !strings.Contains(value, "{{") {
					assert.Equal(t, written(t, option.Default), value, "%s: %s: default of %s", path, point, name)
				}
			}
		}
		for name := range defaults {
			assert.True(t, options[name], "%s sets %s, which is no option", set, name)
		}
	}, "../roles")
	require.NotEmpty(t, options)
	return options
}

// walk shows the text of each file below the folders.
func walk(t *testing.T, show func(path, text string), folders ...string) {
	t.Helper()
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			show(path, string(raw))
			return err
		}))
	}
}

// All modules read a key file alike: none refuses what another one took, and whose
// public half is with the peers by then. What wg(8) takes is taken.
func TestKeyFilesAreReadAlike(t *testing.T) {
	key := seal.NewWGPrivate()
	text := string(key.Encode()[:44])
	zero := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, tt := range map[string]struct {
		text string
		good bool
	}{
		"as wg genkey prints": {text + "\n", true}, "no newline": {text, true}, "Windows": {text + "\r\n", true},
		"a blank": {text + " \n", true}, "a tab": {text + "\t", true},
		"blank lines": {text + "\n\n \n", true}, "a form feed": {text + "\f\v", true},
		"UTF-8 with a mark": {"\xef\xbb\xbf" + text + "\n", false},
		"UTF-16":            {"\xff\xfe" + text, false}, "a blank before": {" " + text + "\n", false},
		"two keys": {text + "\n" + text + "\n", false}, "a comment": {text + " # mine\n", false},
		"short": {text[:43] + "\n", false}, "zero": {zero + "\n", false},
		"empty": {"", false}, "not base64": {"!" + text[1:] + "\n", false}, "a NUL at the end": {text + "\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "key")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			host := must.Get(wg.Open(dir))(t)
			defer func() { _ = host.Close() }()
			public, err := host.PublicKey(path)
			assert.Equal(t, tt.good, err == nil, "wg_tunnel, the private key: %v", err)
			_, err = host.Fingerprint(path)
			assert.Equal(t, tt.good, err == nil, "wg_tunnel, a pre-shared key: %v", err)
			_, err = seal.ParsePSK([]byte(tt.text))
			assert.Equal(t, tt.good, err == nil, "wg_psk: %v", err)
			have := must.Get(keypair.Host{}.Observe(t.Context(), keypair.Want{
				Files: keypair.Files{PrivateKey: path, SealingKey: dir + "/seal", Identity: dir + "/id"},
			}))(t)
			assert.Equal(t, tt.good, have.Private.Broken == nil, "wg_keypair: %v", have.Private.Broken)
			if tt.good {
				assert.Equal(t, public.String(), have.Private.Public)
			}
		})
	}
}

// A returned is one value that a module returns, as its documentation or the table
// in plugin_utils/answers.py describes it.
type returned struct {
	Type     string              `json:"type" yaml:"type"`
	Elements string              `json:"elements" yaml:"elements"`
	Contains map[string]returned `json:"contains" yaml:"contains"`
	Returned string              `json:"-" yaml:"returned"`
	Optional bool                `json:"optional" yaml:"-"`
}

// describe prints the table of answers in the words of the documentation.
const describe = `
import json, sys
sys.path.insert(0, "../collection/plugins/plugin_utils")
import answers as a

def fields(o):
    return {name: dict(words(t), optional=not needed) for name, (t, needed) in o.fields.items()}

def words(t):
    if isinstance(t, a.List):
        inner = words(t.elements)
        return {"type": "list", "elements": inner["type"], "contains": inner.get("contains")}
    if isinstance(t, a.Object):
        return {"type": "dict", "contains": fields(t)}
    return {"type": t.word}

json.dump({module: fields(a.Object(table)) for module, table in a.ANSWERS.items()}, sys.stdout)
`

func answerTable(t *testing.T) map[string]map[string]returned {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", "-c", describe)
	cmd.Stderr = os.Stderr
	out := must.Get(cmd.Output())(t)
	var table map[string]map[string]returned
	require.NoError(t, json.Unmarshal(out, &table))
	return table
}

// What the action plugin lets through of a module's answer is what the module's
// documentation says that it returns, with the same types at every depth.
func TestAnswersAreDocumented(t *testing.T) {
	table := answerTable(t)
	require.Len(t, table, len(modules())+len(inCloud))
	for name, have := range table {
		t.Run(name, func(t *testing.T) {
			raw := must.Get(os.ReadFile("../collection/plugins/modules/" + inAnsible(name) + ".py"))(t)
			m := regexp.MustCompile(`(?s)RETURN = r"""(.*?)"""`).FindSubmatch(raw)
			require.NotNil(t, m, "no RETURN")
			var want map[string]returned
			require.NoError(t, yaml.Unmarshal(m[1], &want))
			for key, value := range want {
				value.Optional = value.Returned != "success" && value.Returned != "always"
				want[key] = value
			}
			sameReturned(t, "", want, have)
		})
	}
}

func sameReturned(t *testing.T, prefix string, want, have map[string]returned) {
	t.Helper()
	for key, w := range want {
		h, found := have[key]
		if !assert.True(t, found, "%s%s is documented, and answers.py drops it", prefix, key) {
			continue
		}
		assert.Equal(t, w.Type, h.Type, "type of %s%s", prefix, key)
		assert.Equal(t, w.Elements, h.Elements, "elements of %s%s", prefix, key)
		if prefix == "" {
			assert.Equal(t, w.Optional, h.Optional, "%s: whether it may be missing, by `returned`", key)
		}
		if h.Contains != nil { // a plan is data for other modules on the same host
			sameReturned(t, prefix+key+".", w.Contains, h.Contains)
		}
	}
	for key := range have {
		assert.Contains(t, want, key, "answers.py lets %s%s through, and it is not documented", prefix, key)
	}
}

// A field that is in no documentation is dropped, at every depth, and said with the router's
// name, in the same words each time: Ansible shows the same warning once.
func TestWhatNobodyKnowsIsSaid(t *testing.T) {
	said := func(module, answer string) (got map[string]any) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "python3", "-c", `
import json, sys
sys.path.insert(0, "../collection/plugins/plugin_utils")
import answers
json.dump(answers.accept(sys.argv[1], "azure-1", {"tunnels": [{"peer": "b"}]}, json.loads(sys.argv[2])), sys.stdout)`,
			module, answer)
		cmd.Stderr = os.Stderr
		require.NoError(t, json.Unmarshal(must.Get(cmd.Output())(t), &got))
		return got
	}
	const pending = `{"tunnel": 1, "peer": "b", "reason": "", "since": 5}`
	got := said("wg_psk", `{"changed": false, "psks": [], "owner\u001b[2J": 1, "pending": [`+pending+`, `+pending+`]}`)
	assert.Equal(t, []any{"azure-1: its answer to wg_psk has owner[2J, pending.since, which nobody knows here, " +
		"and which is not used: " +
		"its program is another version, or somebody changed it"}, got["warnings"])
	assert.NotContains(t, got, "owner")
	assert.NotContains(t, got["pending"].([]any)[0], "since")
	many := said("wg_psk", `{"psks": [], "pending": [], "warnings": ["x"], "a": 1, "b": 1, "c": 1, "d": 1}`)
	assert.Contains(t, many["warnings"].([]any)[1], " has a, b, c, d, which")
	assert.NotContains(t, said("wg_psk", `{"psks": [], "pending": [], "diff": {"before": "", "after": ""}}`),
		"warnings")
	assert.NotContains(t, said("mesh_steps", `{"answers": {"x": {"y": 1}}}`), "warnings")
}

// And it is what the modules' own types have.
func TestAnswersHaveTheTypes(t *testing.T) {
	table := answerTable(t)
	for path, value := range map[string]any{
		"cloud_forwarding.interfaces": cloud.Interface{},
		"cloud_routes.routes":         route.Route{},
		"mesh_measure.tunnels":        measure.Result{},
		"mesh_peer.envelopes":         psk.Envelope{},
		"mesh_peer.pending":           psk.Pending{},
		"mesh_peer.psks":              psk.Held{},
		"mesh_preflight.causes":       cause.Cause{},
		"mesh_status.tunnels":         status.View{},
		"sysctl_router.defeated":      sysctl.Defeat{},
		"wg_psk.envelopes":            psk.Envelope{},
		"wg_psk.pending":              psk.Pending{},
		"wg_psk.psks":                 psk.Held{},
		"wg_tunnel.pending":           plan.Pending{},
		"wg_tunnel.worked_over":       status.End{},
	} {
		module, key, _ := strings.Cut(path, ".")
		t.Run(path, func(t *testing.T) {
			assert.Equal(t, typed(reflect.TypeOf(value)), table[module][key].Contains)
		})
	}
}

// typed describes a struct as the table does.
func typed(t reflect.Type) map[string]returned {
	out := map[string]returned{}
	for f := range t.Fields() {
		name, omit, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			maps.Copy(out, typed(f.Type))
			continue
		}
		r := returned{Optional: strings.HasPrefix(omit, "omit")}
		switch f.Type.Kind() {
		case reflect.Bool:
			r.Type = "bool"
		case reflect.Int, reflect.Int64:
			r.Type = "int"
		case reflect.Float64:
			r.Type = "float"
		case reflect.Struct:
			r.Type, r.Contains = "dict", typed(f.Type)
			if len(r.Contains) == 0 ||
				reflect.PointerTo(f.Type).Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()) {
				r.Type, r.Contains = "str", nil // an address, a network
			}
		default:
			r.Type = "str"
		}
		out[name] = r
	}
	return out
}
