package main

import (
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
	"github.com/wgmesh/router/pkg/keypair"
	"github.com/wgmesh/router/pkg/seal"
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
	literal := regexp.MustCompile(`["']((?:router|mesh|routes|wgmesh|packer)_[a-z0-9_]*[a-z0-9])["']`)
	walk(t, func(path, text string) {
		switch {
		case strings.HasSuffix(path, ".yml"), strings.HasSuffix(path, ".j2"):
			for _, m := range ours.FindAllStringSubmatch(comment.ReplaceAllString(text, ""), -1) {
				used[m[1]] = path
			}
		case strings.HasSuffix(path, ".py"):
			for _, m := range literal.FindAllStringSubmatch(text, -1) {
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

// roleOptions are the options of all roles.
func roleOptions(t *testing.T) map[string]bool {
	t.Helper()
	options := map[string]bool{}
	walk(t, func(path, text string) {
		if filepath.Base(path) != "argument_specs.yml" {
			return
		}
		var specs struct {
			Points map[string]struct {
				Options map[string]any `yaml:"options"`
			} `yaml:"argument_specs"`
		}
		require.NoError(t, yaml.Unmarshal([]byte(text), &specs), path)
		for _, point := range specs.Points {
			for name := range point.Options {
				options[name] = true
			}
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
