package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// A task of a playbook or a role, as far as it says where it is done.
type task struct {
	Name     string `yaml:"name"`
	Delegate string `yaml:"delegate_to"`
	Loop     any    `yaml:"loop"`
	Register string `yaml:"register"`
}

// A tasks is one file: its tasks at any depth, and the variables of its play.
type tasks struct {
	all  []task
	vars map[string]string
}

// Who a task is delegated to is decided by the inventory: whatever a router
// answers, it is a member of the mesh's group.
func TestEveryDelegateIsInTheGroup(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../collection/playbooks/*.yml", "../roles/*/tasks/*.yml"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		files = append(files, found...)
	}
	delegated := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var doc any
		require.NoError(t, yaml.Unmarshal(raw, &doc), file)
		f := tasks{vars: map[string]string{}}
		f.collect(t, doc)
		for _, task := range f.all {
			if task.Delegate != "" && task.Delegate != "localhost" { // the controller
				delegated++
				assert.True(t, f.bounded(task.Delegate, task),
					"%s: %s: delegate_to %s: expected a member of groups[mesh_group], whoever answered what", file,
					task.Name, task.Delegate)
			}
		}
	}
	assert.NotZero(t, delegated)

	// The test knows a delegate that is not bounded.
	f := tasks{
		vars: map[string]string{"who": "{{ plan.peer }}"},
		all:  []task{{Loop: "{{ plan.peers }}", Register: "plans"}},
	}
	for delegate, loop := range map[string]string{
		"{{ plan.peer }}": "", "{{ item }}": "{{ plan.peers }}",
		"{{ item.item }}": "{{ plans.results }}", "{{ who }}": "", "{{ other }}": "", "db-1": "",
		"{{ groups[mesh_group] | union([plan.peer]) | last }}": "", "{{ item.peer }}": "{{ groups[mesh_group] }}",
	} {
		assert.False(t, f.bounded(delegate, task{Loop: loop}), "%s of %s", delegate, loop)
	}
}

func (f *tasks) collect(t *testing.T, node any) {
	switch n := node.(type) {
	case []any:
		for _, one := range n {
			f.collect(t, one)
		}
	case map[string]any:
		raw, err := yaml.Marshal(n)
		require.NoError(t, err)
		var one task
		if yaml.Unmarshal(raw, &one) == nil {
			f.all = append(f.all, one)
		}
		if vars, found := n["vars"].(map[string]any); found {
			for name, value := range vars {
				if text, found := value.(string); found {
					f.vars[name] = text
				}
			}
		}
		for _, value := range n {
			f.collect(t, value)
		}
	}
}

// inBrackets is what a filter is given.
var inBrackets = regexp.MustCompile(`\([^()]*\)`)

// bounded reports whether an expression can only be members of the group: it
// takes some of them, or it is an item of a loop over them, or the item that an
// earlier loop over them had.
func (f *tasks) bounded(expression string, at task) bool {
	e := strings.TrimSpace(strings.Trim(strings.TrimSpace(expression), "{}"))
	if rest, found := strings.CutPrefix(e, "groups[mesh_group]"); found {
		for filter := range strings.SplitSeq(
			inBrackets.ReplaceAllString(inBrackets.ReplaceAllString(rest, "[]"), "[]"), "|") {
			switch strings.TrimSpace(strings.ReplaceAll(filter, "[]", "")) {
			case "", "difference", "intersect", "first", "list", "reject", "select":
			case "default":
				if !strings.Contains(rest, "default(inventory_hostname)") { // the router itself
					return false
				}
			default:
				return false
			}
		}
		return true
	}
	loop, _ := at.Loop.(string)
	if e == "item" {
		return loop != "" && f.bounded(loop, task{})
	}
	// X.results | ... of an earlier loop: its item is one of what that one was over.
	if inner, found := strings.CutPrefix(e, "item."); found && (inner == "item" || strings.HasPrefix(inner, "item.")) {
		source, _, _ := strings.Cut(strings.TrimSpace(strings.Trim(strings.TrimSpace(loop), "{}")), " ")
		register, found := strings.CutSuffix(source, ".results")
		for _, earlier := range f.all {
			if found && earlier.Register == register {
				return f.bounded(inner, earlier)
			}
		}
		return false
	}
	if text, found := f.vars[e]; found {
		return f.bounded(text, task{})
	}
	// What is made of an earlier loop's items, such as map(attribute='item.item').
	if source, filters, found := strings.Cut(e, ".results "); found &&
		strings.Contains(filters, "map(attribute='item") {
		path := strings.TrimSuffix(filters[strings.Index(filters, "map(attribute='")+len("map(attribute='"):], "')")
		path, _, _ = strings.Cut(path, "'")
		for _, earlier := range f.all {
			if earlier.Register == source {
				return f.bounded(path, earlier)
			}
		}
	}
	return false
}
