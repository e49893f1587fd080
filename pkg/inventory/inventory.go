// Package inventory reads what "ansible-inventory --list" prints.
package inventory

import (
	"encoding/json"
	"fmt"
	"slices"
)

// A List is an answer of "ansible-inventory --list".
type List struct {
	Groups map[string]Group
	// Vars has the variables of each host, with those of its groups merged in.
	// They stay as Ansible wrote them: marks such as __ansible_unsafe, which keep
	// a cloud's tag from being run as a template, must not get lost.
	Vars map[string]map[string]json.RawMessage
}

// A Group has hosts, and groups below it.
type Group struct {
	Hosts    []string `json:"hosts"`
	Children []string `json:"children"`
}

// Parse reads what "ansible-inventory --list" printed.
func Parse(text []byte) (List, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return List{}, fmt.Errorf("ansible-inventory printed no JSON: %w", err)
	}
	l := List{Groups: map[string]Group{}}
	for name, raw := range top {
		if name == "_meta" {
			var meta struct {
				HostVars map[string]map[string]json.RawMessage `json:"hostvars"`
			}
			if err := json.Unmarshal(raw, &meta); err != nil {
				return List{}, fmt.Errorf("ansible-inventory printed _meta in an unknown form: %w", err)
			}
			l.Vars = meta.HostVars
			continue
		}
		var g Group
		if err := json.Unmarshal(raw, &g); err != nil {
			return List{}, fmt.Errorf("ansible-inventory printed the group %s in an unknown form: %w", name, err)
		}
		l.Groups[name] = g
	}
	return l, nil
}

// Members lists the hosts of a group and of the groups below it, sorted.
func (l List) Members(name string) []string {
	var hosts []string
	seen := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		hosts = append(hosts, l.Groups[name].Hosts...)
		for _, child := range l.Groups[name].Children {
			walk(child)
		}
	}
	walk(name)
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
