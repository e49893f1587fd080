package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
)

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
