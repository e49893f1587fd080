package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Inventory is what the lab takes from `ansible-inventory --list`.
type Inventory struct {
	Hosts  []string                  // members of the group routers, sorted
	Vars   map[string]map[string]any // all variables of each router
	Groups map[string][]string       // every other group with routers in it
}

type group struct {
	Hosts    []string `json:"hosts"`
	Children []string `json:"children"`
}

// ParseInventory reads the JSON that `ansible-inventory --list` prints. Numbers
// stay json.Number, so that they are written again as they were.
func ParseInventory(data []byte) (Inventory, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return Inventory{}, fmt.Errorf("inventory: not the JSON of `ansible-inventory --list`: %w", err)
	}
	var meta struct {
		Vars map[string]map[string]any `json:"hostvars"`
	}
	if err := decode(raw["_meta"], &meta); err != nil {
		return Inventory{}, fmt.Errorf("inventory: _meta: %w", err)
	}
	delete(raw, "_meta")
	groups := map[string]group{}
	for name, text := range raw {
		var g group
		if err := decode(text, &g); err != nil {
			return Inventory{}, fmt.Errorf("inventory: group %s: %w", name, err)
		}
		groups[name] = g
	}
	if _, ok := groups["routers"]; !ok {
		return Inventory{}, errors.New("inventory: group routers: not there; put the hosts of the mesh in a group named routers")
	}
	inv := Inventory{Vars: map[string]map[string]any{}, Groups: map[string][]string{}}
	inv.Hosts = members(groups, "routers", nil)
	if len(inv.Hosts) == 0 {
		return Inventory{}, errors.New("inventory: group routers: has no hosts")
	}
	for _, h := range inv.Hosts {
		inv.Vars[h] = meta.Vars[h]
	}
	for name := range groups {
		if name == "all" || name == "ungrouped" || name == "routers" || name == "nodes" {
			continue
		}
		in := slices.DeleteFunc(members(groups, name, nil), func(h string) bool { return !slices.Contains(inv.Hosts, h) })
		if len(in) > 0 {
			inv.Groups[name] = in
		}
	}
	return inv, nil
}

func decode(text json.RawMessage, into any) error {
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

// members lists the hosts of a group and of its children, sorted.
func members(groups map[string]group, name string, seen []string) []string {
	if slices.Contains(seen, name) {
		return nil
	}
	out := slices.Clone(groups[name].Hosts)
	for _, child := range groups[name].Children {
		out = append(out, members(groups, child, append(seen, name))...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// text reads a scalar of the inventory as text; nil is "".
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.TrimSpace(v)
	}
	return fmt.Sprint(v)
}

func number(v any) (int, error) { return strconv.Atoi(text(v)) }

func truth(v any) bool {
	switch strings.ToLower(text(v)) {
	case "true", "yes", "on", "1":
		return true
	}
	return false
}

// list reads a list, a scalar or comma separated text as a list of texts.
func list(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, text(e))
		}
		return out
	}
	return strings.FieldsFunc(text(v), func(r rune) bool { return r == ',' || r == ' ' })
}

func prefixes(where string, v any) ([]netip.Prefix, error) {
	var out []netip.Prefix
	var bad []error
	for _, s := range list(v) {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %q is not a network such as 10.1.0.0/16", where, s))
			continue
		}
		out = append(out, p.Masked())
	}
	return out, errors.Join(bad...)
}

func addresses(where string, v any) ([]netip.Addr, error) {
	var out []netip.Addr
	var bad []error
	for _, s := range list(v) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %q is not an IP address", where, s))
			continue
		}
		out = append(out, a)
	}
	return out, errors.Join(bad...)
}
