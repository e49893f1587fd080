package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/wgmesh/router/pkg/inventory"
)

// Inventory is what the lab takes from `ansible-inventory --list`.
type Inventory struct {
	Hosts  []string                  // members of the group routers, sorted
	Vars   map[string]map[string]any // all variables of each router
	Groups map[string][]string       // every other group with routers in it
}

// ParseInventory reads the JSON that `ansible-inventory --list` prints. Numbers
// stay json.Number, so that they are written again as they were.
func ParseInventory(data []byte) (Inventory, error) {
	list, err := inventory.Parse(data)
	if err != nil {
		return Inventory{}, fmt.Errorf("inventory: %w", err)
	}
	if _, ok := list.Groups["routers"]; !ok {
		return Inventory{}, errors.New(
			"inventory: group routers: not there; put the hosts of the mesh in a group named routers")
	}
	inv := Inventory{Hosts: list.Members("routers"), Vars: map[string]map[string]any{}, Groups: map[string][]string{}}
	if len(inv.Hosts) == 0 {
		return Inventory{}, errors.New("inventory: group routers: has no hosts")
	}
	for _, h := range inv.Hosts {
		inv.Vars[h] = map[string]any{}
		for name, raw := range list.Vars[h] {
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			var v any
			if err := d.Decode(&v); err != nil {
				return Inventory{}, fmt.Errorf("inventory: %s: %s: %w", h, name, err)
			}
			inv.Vars[h][name] = v
		}
	}
	for name := range list.Groups {
		if name == "all" || name == "ungrouped" || name == "routers" || name == "nodes" {
			continue
		}
		in := slices.DeleteFunc(list.Members(name), func(h string) bool { return !slices.Contains(inv.Hosts, h) })
		if len(in) > 0 {
			inv.Groups[name] = in
		}
	}
	return inv, nil
}
