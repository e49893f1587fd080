package join

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
)

// An inventory is an answer of "ansible-inventory --list".
type inventory struct {
	groups map[string]group
	// vars has the variables of each host, with those of its groups merged in.
	// They stay as Ansible wrote them: marks such as __ansible_unsafe, which keep
	// a cloud's tag from being run as a template, must not get lost.
	vars map[string]map[string]json.RawMessage
}

type group struct {
	Hosts    []string `json:"hosts"`
	Children []string `json:"children"`
}

// parseList reads what "ansible-inventory --list" printed.
func parseList(text []byte) (inventory, error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return inventory{}, fmt.Errorf("ansible-inventory printed no JSON: %w", err)
	}
	i := inventory{groups: map[string]group{}}
	for name, raw := range top {
		if name == "_meta" {
			var meta struct {
				HostVars map[string]map[string]json.RawMessage `json:"hostvars"`
			}
			if err := json.Unmarshal(raw, &meta); err != nil {
				return inventory{}, fmt.Errorf("ansible-inventory printed _meta in an unknown form: %w", err)
			}
			i.vars = meta.HostVars
			continue
		}
		var g group
		if err := json.Unmarshal(raw, &g); err != nil {
			return inventory{}, fmt.Errorf("ansible-inventory printed the group %s in an unknown form: %w", name, err)
		}
		i.groups[name] = g
	}
	return i, nil
}

// The form of an inventory that Ansible's yaml plugin reads; JSON is YAML. What
// --list prints is only understood when a program prints it.
type staticGroup struct {
	Hosts    map[string]map[string]json.RawMessage `json:"hosts,omitempty"`
	Children map[string]struct{}                   `json:"children,omitempty"`
}

// render writes the inventory as a file for ansible-playbook -i.
func (i inventory) render() ([]byte, error) {
	all := staticGroup{Hosts: map[string]map[string]json.RawMessage{}}
	static := map[string]*staticGroup{"all": &all}
	at := func(name string) *staticGroup {
		if static[name] == nil {
			static[name] = &staticGroup{Hosts: map[string]map[string]json.RawMessage{}, Children: map[string]struct{}{}}
		}
		return static[name]
	}
	for name, g := range i.groups {
		for _, host := range g.Hosts {
			all.Hosts[host] = map[string]json.RawMessage{}
			if name != "all" && name != "ungrouped" {
				at(name).Hosts[host] = map[string]json.RawMessage{}
			}
		}
		for _, child := range g.Children {
			// Every group is below all anyway, and Ansible makes ungrouped itself.
			if child != "ungrouped" {
				at(child)
			}
			if name != "all" {
				at(name).Children[child] = struct{}{}
			}
		}
	}
	for host, vars := range i.vars {
		all.Hosts[host] = vars
	}
	text, err := json.MarshalIndent(static, "", "  ")
	return append(text, '\n'), err
}

// parseKept reads what render wrote.
func parseKept(text []byte) (inventory, error) {
	var static map[string]staticGroup
	if err := json.Unmarshal(text, &static); err != nil {
		return inventory{}, err
	}
	i := inventory{groups: map[string]group{}, vars: static["all"].Hosts}
	for name, s := range static {
		var g group
		for host := range s.Hosts {
			g.Hosts = append(g.Hosts, host)
		}
		for child := range s.Children {
			g.Children = append(g.Children, child)
		}
		i.groups[name] = g
	}
	return i, nil
}

// members lists the hosts of a group and of the groups below it, sorted.
func (i inventory) members(name string) []string {
	var hosts []string
	seen := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		hosts = append(hosts, i.groups[name].Hosts...)
		for _, child := range i.groups[name].Children {
			walk(child)
		}
	}
	walk(name)
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// address reads a variable of a host as an IP address. What is none, a name or
// a template, is the zero address.
func (i inventory) address(host, variable string) netip.Addr {
	raw := i.vars[host][variable]
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var marked struct {
			Unsafe string `json:"__ansible_unsafe"`
		}
		if json.Unmarshal(raw, &marked) != nil {
			return netip.Addr{}
		}
		text = marked.Unsafe
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
