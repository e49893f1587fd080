package join

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/inventory"
)

type listing struct{ inventory.List }

// The form of an inventory that Ansible's yaml plugin reads; JSON is YAML. What
// --list prints is only understood when a program prints it.
type staticGroup struct {
	Hosts    map[string]map[string]json.RawMessage `json:"hosts,omitempty"`
	Children map[string]struct{}                   `json:"children,omitempty"`
}

// pattern reports whether that plugin reads a host's name as several hosts, or as one with a port.
func pattern(host string) bool { return strings.ContainsAny(host, "[]:") }

// render writes the inventory as a file for ansible-playbook -i, without hosts whose names are
// patterns: they would be other hosts. No router is one of them.
func (l listing) render() ([]byte, error) {
	all := staticGroup{Hosts: map[string]map[string]json.RawMessage{}}
	static := map[string]*staticGroup{"all": &all}
	at := func(name string) *staticGroup {
		if static[name] == nil {
			static[name] = &staticGroup{Hosts: map[string]map[string]json.RawMessage{}, Children: map[string]struct{}{}}
		}
		return static[name]
	}
	for name, g := range l.Groups {
		for _, host := range g.Hosts {
			if pattern(host) {
				continue
			}
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
	for host, vars := range l.Vars {
		if !pattern(host) {
			all.Hosts[host] = vars
		}
	}
	text, err := json.MarshalIndent(static, "", "  ")
	return append(text, '\n'), err
}

// parseKept reads what render wrote.
func parseKept(text []byte) (listing, error) {
	var static map[string]staticGroup
	if err := json.Unmarshal(text, &static); err != nil {
		return listing{}, err
	}
	l := listing{inventory.List{Groups: map[string]inventory.Group{}, Vars: static["all"].Hosts}}
	for name, s := range static {
		l.Groups[name] = inventory.Group{
			Hosts: slices.Collect(maps.Keys(s.Hosts)), Children: slices.Collect(maps.Keys(s.Children)),
		}
	}
	return l, nil
}

// text reads a variable of a host, which may be marked as no template.
func (l listing) text(host, variable string) string {
	raw := l.Vars[host][variable]
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var marked struct {
		Unsafe string `json:"__ansible_unsafe"`
	}
	_ = json.Unmarshal(raw, &marked)
	return marked.Unsafe
}

// address reads a variable of a host as an IP address. What is none, a name or
// a template, is the zero address.
func (l listing) address(host, variable string) netip.Addr {
	addr, err := netip.ParseAddr(l.text(host, variable))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
