package wgtunnel_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
	"github.com/wgmesh/router/pkg/ansible"
)

// section returns one of the YAML texts of the documentation stub.
func section(t *testing.T, name string) string {
	t.Helper()
	stub := must.Get(os.ReadFile("../../collection/plugins/modules/wg_tunnel.py"))(t)
	_, rest, found := strings.Cut(string(stub), name+` = r"""`)
	require.True(t, found, name)
	text, _, _ := strings.Cut(rest, `"""`)
	return text
}

// The documentation has the defaults that the module uses. That it has exactly the
// module's options is in TestOptionsAreDocumented (modules).
func TestDocumentation(t *testing.T) {
	var doc struct {
		Options map[string]struct{ Default any }
	}
	require.NoError(t, yaml.Unmarshal([]byte(section(t, "DOCUMENTATION")), &doc))
	var o wgtunnel.Options
	o.SetDefaults()
	for name, have := range map[string]any{
		"private_key_file": o.PrivateKeyFile, "purge": o.Purge, "mss_clamp": o.MSSClamp,
		"interface_prefix": o.InterfacePrefix, "directory": o.Directory, "input": o.Input,
		"control_socket": o.ControlSocket, "gate_directory": o.GateDirectory,
	} {
		assert.Equal(t, doc.Options[name].Default, have, name)
	}
}

// The examples are accepted as they are, less their templates.
func TestExamples(t *testing.T) {
	var tasks []map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(section(t, "EXAMPLES")), &tasks))
	require.NotEmpty(t, tasks)
	for _, task := range tasks {
		options := task["wgmesh.router.wg_tunnel"].(map[string]any)
		for _, key := range []string{"tunnels", "public_keys"} {
			if s, ok := options[key].(string); ok && strings.HasPrefix(s, "{{") {
				options[key] = map[string]any{"tunnels": []any{}, "public_keys": nil}[key]
			}
		}
		if keys, ok := options["public_keys"].(map[string]any); ok {
			delete(keys, "bob")
		}
		raw := must.Get(json.Marshal(options))(t)
		var o wgtunnel.Options
		require.NoError(t, ansible.Decode(raw, &o), "%s", task["name"])
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ options, msg string }{
		"no tunnels": {`{}`, "tunnels: required option is missing"},
		"misspelt": {
			`{"tunnels":[{"name":"wg1","peers":[{"name":"a","allowed_ip":[]}]}]}`,
			`did you mean "allowed_ips"?`,
		},
		"bad address": {`{"tunnels":[{"name":"wg1","addresses":["10.0.0.1"]}]}`, "tunnels[0].addresses[0]"},
		"bad key": {
			`{"tunnels":[{"name":"wg1","peers":[{"name":"a","public_key":"aGVsbG8="}]}]}`,
			"not a WireGuard public key",
		},
		"bad endpoint": {
			`{"tunnels":[{"name":"wg1","peers":[{"name":"a","endpoint":"example.com:51820"}]}]}`,
			"tunnels[0].peers[0].endpoint",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var o wgtunnel.Options
			err := ansible.Decode([]byte(tt.options), &o)
			require.ErrorContains(t, err, tt.msg)
			assert.NotContains(t, err.Error(), "aGVsbG8=", "a key in the wrong place may be private")
		})
	}
}
