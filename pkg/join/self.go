package join

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// A machine is what this one says about itself.
type machine struct {
	hostname  string
	addresses []netip.Addr
}

// thisMachine asks the kernel. Fields that the kernel does not provide stay empty.
func thisMachine() machine {
	var m machine
	m.hostname, _ = os.Hostname()
	found, _ := net.InterfaceAddrs()
	for _, a := range found {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLoopback() {
			m.addresses = append(m.addresses, prefix.Addr().Unmap())
		}
	}
	return m
}

// self finds the name of this machine among the routers of the inventory: the
// one that join.yml gives, the host's name, or the router that has one of this
// machine's addresses. One that is absent counts where no other has the address.
func self(c Config, m machine, i listing) (string, error) {
	routers := i.Members(c.Group)
	// What is kept is named by patterns of Ansible, and mesh_plan_info takes no other name either.
	for _, name := range routers {
		if !plan.PlainName.Fits(name) {
			return "", later("router %q: the name is not plain: use letters, digits, '.', '-' and '_', %d at most",
				name, plan.PlainName.Most)
		}
	}
	known := strings.Join(routers, ", ")
	if c.Router != "" {
		if !slices.Contains(routers, c.Router) {
			return "", later("router %s is not in the group %s of the inventory, which has %s; "+
				"correct router in %s, or the inventory", c.Router, c.Group, known, c.Path)
		}
		return c.Router, nil
	}
	short, _, _ := strings.Cut(m.hostname, ".")
	for _, name := range []string{m.hostname, short} {
		if slices.Contains(routers, name) {
			return name, nil
		}
	}
	var mine, gone []string
	for _, router := range routers {
		for _, variable := range []string{"mesh_endpoint", "ansible_host"} {
			if slices.Contains(m.addresses, i.address(router, variable)) {
				if i.text(router, "mesh_state") == "absent" { // its address may be another machine's now
					gone = append(gone, router)
				} else {
					mine = append(mine, router)
				}
				break
			}
		}
	}
	if len(mine) == 0 && len(gone) > 0 { // mesh_plan refuses each of them; an older answer might not
		return gone[0], nil
	}
	switch len(mine) {
	case 1:
		return mine[0], nil
	case 0:
		return "", later(
			"which router is this? The group %s has %s, none with the name %s or an address of this machine; "+
				"set router in %s", c.Group, known, m.hostname, c.Path)
	default:
		return "", later("which router is this? Addresses of this machine are those of %s; set router in %s",
			strings.Join(mine, " and "), c.Path)
	}
}
