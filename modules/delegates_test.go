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

	"github.com/wgmesh/router/internal/must"
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
		found := must.Get(filepath.Glob(pattern))(t)
		require.NotEmpty(t, found, pattern)
		files = append(files, found...)
	}
	delegated := 0
	for _, file := range files {
		raw := must.Get(os.ReadFile(file))(t)
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

// Of a module that is not ours Ansible takes facts, which stand above the inventory. So a router is
// asked by our modules, bounded_raw and without_facts among them; the others run on the controller. What raw
// is told has no bound.
func TestRoutersSetNoVariable(t *testing.T) {
	var files []string
	for _, pattern := range []string{
		"../collection/playbooks/*.yml", "../collection/playbooks/*/*.yml",
		"../roles/*/tasks/*.yml",
	} {
		found := must.Get(filepath.Glob(pattern))(t)
		require.NotEmpty(t, found, pattern)
		files = append(files, found...)
	}
	brings := func(text []byte) (out []string) {
		var doc []any
		require.NoError(t, yaml.Unmarshal(text, &doc))
		factual(doc, &out)
		return out
	}
	for _, file := range files {
		raw := must.Get(os.ReadFile(file))(t)
		assert.Empty(t, brings(raw),
			"%s: these tasks take facts, or too much, from a router: expected bounded_raw or without_facts", file)
	}
	want := []string{"ansible.builtin.copy", "ansible.builtin.raw", "gather_facts", "apt", "hosts"}
	assert.Equal(t, want, brings([]byte(`
- {block: [{ansible.builtin.copy: {}}, {ansible.builtin.raw: a}, {wgmesh.router.bounded_raw: {}}]}
- {delegate_to: localhost, block: [{ansible.builtin.copy: {}}]}
- {hosts: all, gather_facts: true, tasks: [{apt: {}}]}
- {hosts: all}
`)))
}

// A host that hangs would hold up the others for ever: Ansible gives a task no time of its own. What the
// role mesh asks has shorter ones.
func TestWhoHangsEnds(t *testing.T) {
	for file, count := range map[string]int{
		"../collection/playbooks/image.yml":  1,
		"../collection/playbooks/add.yml":    1,
		"../collection/playbooks/routes.yml": 1,
		"../collection/playbooks/reset.yml":  1,
		"../roles/mesh/tasks/change.yml":     1,
	} {
		raw := must.Get(os.ReadFile(file))(t)
		assert.Len(t, regexp.MustCompile(`(?m)^ +timeout: 1800`).FindAll(raw, -1), count, file)
	}
}

// onController are modules that ask nobody.
var onController = regexp.MustCompile(`^(ansible\.builtin\.(assert|debug|fail|set_fact|group_by|add_host|meta|` +
	`include_\w+|import_\w+|validate_argument_spec)|wgmesh\.router\.\w+)$`)

// keyword is a key of a task or play that is no module.
var keyword = regexp.MustCompile(
	`^(name|when|vars|register|loop|loop_control|delegate_to|delegate_facts|become|run_once|timeout|` +
		`changed_when|failed_when|check_mode|ignore_errors|ignore_unreachable|no_log|until|retries|delay|diff|` +
		`any_errors_fatal|module_defaults|environment|block|rescue|always|tasks|pre_tasks|strategy|serial|order|` +
		`connection|throttle|tags|max_fail_percentage)$`)

// factual adds the modules of tasks that may take a fact from a router, and plays that gather them.
func factual(list []any, out *[]string) {
	for _, one := range list {
		task, _ := one.(map[string]any)
		if task["delegate_to"] == "localhost" || task["hosts"] == "localhost" {
			continue
		}
		if gather, said := task["gather_facts"]; said && gather != false {
			*out = append(*out, "gather_facts")
		}
		for _, part := range []string{"tasks", "pre_tasks", "block", "rescue", "always"} {
			inner, _ := task[part].([]any)
			factual(inner, out)
		}
		_, play := task["hosts"]
		if _, said := task["gather_facts"]; play && !said {
			*out = append(*out, "hosts")
		}
		for key := range task {
			if !play && !keyword.MatchString(key) && !onController.MatchString(key) {
				*out = append(*out, key)
			}
		}
	}
}

func (f *tasks) collect(t *testing.T, node any) {
	switch n := node.(type) {
	case []any:
		for _, one := range n {
			f.collect(t, one)
		}
	case map[string]any:
		raw := must.Get(yaml.Marshal(n))(t)
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

// bounded reports whether an expression can only be members of the group: it takes some of them, or
// it is an item of a loop over them, or the item that an earlier loop over them had.
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

// Ansible calls a task that had no more time failed, and not unreachable: what is said of a router that goes
// away has to be said then, too.
func TestWhoHangsIsLikeWhoIsGone(t *testing.T) {
	files := must.Get(filepath.Glob("../roles/*/tasks/*.yml"))(t)
	seen := 0
	for _, file := range files {
		raw := must.Get(os.ReadFile(file))(t)
		for _, when := range regexp.MustCompile(`(?m)^ +when: (\w+) is unreachable(.*)$`).FindAllSubmatch(raw, -1) {
			name := string(when[1])
			assert.Equal(t, " or "+name+" is failed", string(when[2]), file)
			assert.Regexp(t, `register: `+name+`\n( +\w.*\n)*? +ignore_errors: true`, string(raw), file)
			seen++
		}
	}
	assert.Equal(t, 5, seen)
}
