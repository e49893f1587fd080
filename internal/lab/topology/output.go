package topology

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/lab/profile"
)

// Files says where the lab keeps what ssh needs.
type Files struct {
	Tool       string // the lab's own program, for ssh's ProxyCommand
	Config     string // ssh_config
	Key        string // private key of the controller
	KnownHosts string
	Control    string // folder for the sockets of ControlPersist
}

// SSHConfig is a configuration with which `ssh -F FILE HOST` reaches every host.
// The tool hands ssh a connected socket from inside the management namespace, so
// there is no relay and no port in the host's own network.
func (t Topology) SSHConfig(f Files) string {
	var s script
	s.add("# made by the lab; `lab down` removes it")
	for _, h := range t.Hosts {
		s.add("Host %s %s.%s", h.Name, h.Name, t.Lab)
		s.add("  ProxyCommand '%s' dial %s %d", f.Tool, t.Management(), h.Number)
		if h.Profile.Login != "" {
			s.add("  User %s", h.Profile.Login)
		}
	}
	s.add("Host *\n  User root")
	s.add("  IdentityFile \"%s\"\n  IdentitiesOnly yes", f.Key)
	s.add("  PreferredAuthentications publickey")
	s.add("  UserKnownHostsFile \"%s\"\n  GlobalKnownHostsFile /dev/null", f.KnownHosts)
	s.add("  StrictHostKeyChecking yes\n  HostKeyAlias wgmesh-lab\n  UpdateHostKeys no")
	s.add("  Ciphers ^aes128-gcm@openssh.com") // which the processor computes itself
	// The default, sntrup761, costs OpenSSH 9.2 most of what it computes for a connection.
	s.add("  KexAlgorithms ^curve25519-sha256")
	s.add("  ProxyUseFdpass yes\n  ConnectTimeout 10")
	s.add("  ServerAliveInterval 5\n  ServerAliveCountMax 3\n  LogLevel ERROR")
	return s.String()
}

// connection variables of the user's inventory that do not hold in the lab.
var connection = []string{
	"ansible_host", "ansible_port", "ansible_user", "ansible_password", "ansible_connection",
	"ansible_private_key_file", "ansible_become", "ansible_control_path", "ansible_python_interpreter",
}

func kept(name string) bool {
	return !slices.Contains(connection, name) && !strings.HasPrefix(name, "ansible_ssh_") &&
		!strings.HasPrefix(name, "ansible_become_")
}

// Inventory is the lab's inventory: group routers with all variables of the
// user's, group nodes, and the user's other groups as far as they hold routers.
func (t Topology) Inventory(inv Inventory, f Files) ([]byte, error) {
	routers, nodes := map[string]any{}, map[string]any{}
	common := shared(inv)
	for _, h := range t.Hosts {
		vars := map[string]any{
			"ansible_host":         h.Name + "." + t.Lab,
			"ansible_control_path": f.Control + "/" + strings.ReplaceAll(h.Name, "%", "%%"),
			"lab_site":             h.Site,
			"lab_zone":             h.Zone,
		}
		if a := h.Address(false); a.IsValid() {
			vars["lab_address"] = a.String()
		}
		if a := h.Address(true); a.IsValid() {
			vars["lab_address6"] = a.String()
		}
		if h.Kind == Node {
			nodes[h.Name] = vars
			continue
		}
		for k, v := range inv.Vars[h.Name] {
			if _, ok := common[k]; !ok && kept(k) {
				vars[k] = v
			}
		}
		if h.Profile.Login != "" {
			vars["ansible_user"], vars["ansible_become"] = h.Profile.Login, true
		}
		if h.Profile.Sudo == "password" {
			vars["ansible_become_password"] = profile.Cleartext
		}
		routers[h.Name] = vars
	}
	children := map[string]any{
		"routers": map[string]any{"hosts": routers, "vars": common},
		"nodes":   map[string]any{"hosts": nodes},
	}
	for name, hosts := range inv.Groups {
		in := map[string]any{}
		for _, h := range hosts {
			in[h] = nil
		}
		children[name] = map[string]any{"hosts": in}
	}
	text, err := yaml.Marshal(plain(map[string]any{"all": map[string]any{
		"children": children,
		"vars": map[string]any{
			"ansible_user":            "root",
			"ansible_ssh_common_args": fmt.Sprintf("-F '%s'", f.Config),
			// Ansible's own, without -C: to compress what goes to the same machine is only work.
			"ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=60s",
			"lab_name":         t.Lab,
		},
	}}))
	return append([]byte("# made by the lab; `lab down` removes it\n"), text...), err
}

// shared finds the variables that all routers have with the same value.
func shared(inv Inventory) map[string]any {
	out := maps.Clone(inv.Vars[inv.Hosts[0]])
	maps.DeleteFunc(out, func(k string, v any) bool {
		differs := func(h string) bool {
			other, ok := inv.Vars[h][k]
			return !ok || !reflect.DeepEqual(other, v)
		}
		return !kept(k) || slices.ContainsFunc(inv.Hosts, differs)
	})
	return out
}

// plain turns JSON values into what yaml writes well; Ansible's marks for vaulted
// and unsafe texts become YAML tags again.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case map[string]any:
		for key, tag := range map[string]string{"__ansible_vault": "!vault", "__ansible_unsafe": "!unsafe"} {
			if s, ok := v[key].(string); ok && len(v) == 1 {
				return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s, Style: yaml.LiteralStyle}
			}
		}
		out := map[string]any{}
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	}
	return v
}
