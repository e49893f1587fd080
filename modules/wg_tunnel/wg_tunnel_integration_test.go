//go:build integration

package wgtunnel_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
	"github.com/wgmesh/router/pkg/ansible"
)

// The module from arguments to result, in a network namespace of its own: check
// mode, converge, again, purge; and no secret in any result.
func TestModule(t *testing.T) {
	ns := nettest.New(t, "m")
	name, kind := ns.Name, ns.Kind(t)
	command := func(line string) string { return strings.TrimSpace(ns.Sh(t, "%s", line)) }

	dir := filepath.Join(t.TempDir(), "wireguard")
	require.NoError(t, os.Mkdir(dir, 0o700))
	secret := command("umask 077; cd " + dir + "; wg genpsk > psk; wg genkey | tee key")
	psk := command("cat " + dir + "/psk")
	options := map[string]any{
		"directory": dir, "private_key_file": dir + "/key", "interface_prefix": name, "_ansible_diff": true,
		"public_keys": map[string]any{"ann": command("wg genkey | wg pubkey"), "bob": nil},
		"tunnels": []any{map[string]any{
			"name": name, "listen_port": "51820", "addresses": "172.31.20.0/31", "mtu": 1340,
			"peers": []any{
				map[string]any{
					"name": "ann", "endpoint": "192.0.2.1:51820",
					"allowed_ips": []string{"10.0.0.0/8"}, "preshared_key_file": dir + "/psk",
				},
				map[string]any{"name": "bob"},
			},
		}},
	}
	run := func(key string, value any) map[string]any {
		options[key] = value
		result := ns.Module(t, ansible.New(wgtunnel.Plan), options)
		text := fmt.Sprint(result)
		assert.False(t, strings.Contains(text, secret) || strings.Contains(text, psk), "a secret is in the result")
		require.Nil(t, result["failed"], "%s", result["msg"])
		return result
	}

	first := run("_ansible_check_mode", true)
	assert.Equal(t, true, first["changed"])
	assert.Equal(t, "", first["implementation"])
	assert.NotContains(t, command("ip -o link; ls "+dir), name)
	assert.NotContains(t, command("nft list tables"), "wgmesh")

	assert.Nil(t, first["warnings"])

	table := dir + "/wgmesh.nft"
	require.NoError(t, os.WriteFile(table, []byte("table inet theirs {}\n"), 0o600))
	assert.Equal(t, []any{"mss clamp: " + table + " was not made by wgmesh.router: move it away"},
		run("_ansible_check_mode", true)["warnings"], "check mode tells what the run fails on")
	require.NoError(t, os.Remove(table))

	second := run("_ansible_check_mode", false)
	assert.Equal(t, true, second["changed"])
	assert.Equal(t, first["diff"], second["diff"], "check mode must tell what the run does")
	assert.Equal(t, kind, second["implementation"])
	assert.Equal(t,
		[]any{map[string]any{"tunnel": name, "peer": "bob", "reason": "its public key is not known yet"}},
		second["pending"])

	third := run("_ansible_check_mode", false)
	assert.Equal(t, false, third["changed"])

	left := run("tunnels", []any{})
	assert.Equal(t, false, left["changed"])
	assert.Equal(t, []any{name}, left["stale"])
	gone := run("purge", true)
	assert.Equal(t, true, gone["changed"])
	assert.Equal(t, "key\npsk", command("ls "+dir))
	assert.NotContains(t, command("ip -o link"), name)
}
