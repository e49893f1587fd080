//go:build integration

package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// TestTunnelsReloadAgain has systemd refuse to read the drop-in of the tunnels once. The
// next run has it read that, says so before in check mode, and is the last to do something.
// The umask of a hardened login hides the drop-in from nobody.
func TestTunnelsReloadAgain(t *testing.T) {
	nettest.Need(t, "wg", "wg-quick", "wireguard-go")
	h := newHost(t, nettest.Wgmesh(t, "modules"), nettest.New(t, "unread"))
	name := nettest.Unique("u")
	nettest.Sh(t, "umask 077; wg genkey > %s/wireguard/key", h.root)
	t.Cleanup(func() { _ = h.command(context.Background(), "ip", "link", "del", name).Run() })
	require.NoError(t, os.WriteFile(h.root+"/tools/systemctl", []byte(`#!/bin/sh
case $1 in
show) printf 'Id=wg-quick@`+name+`.service\nActiveState=active\nUnitFileState=enabled\n' ;;
restart|start) ip link show `+name+` || wireguard-go `+name+` ;;
daemon-reload) echo told >> `+h.root+`/told; [ ! -e `+h.root+`/broken ] ;;
esac
`), 0o755))
	options := map[string]any{
		"private_key_file": "/etc/wireguard/key", "interface_prefix": name,
		"tunnels": []any{map[string]any{"name": name, "listen_port": 51820, "addresses": []string{"172.31.20.0/31"}}},
	}
	run := func() (reply map[string]any) {
		// Before the machine's own one, where the module looks for it.
		cmd := h.command(t.Context(), "sh", "-ec",
			`mount --bind "$0/tools" /usr/local/sbin; umask 077; exec "$1" wg_tunnel`, h.root, h.binary)
		cmd.Stdin = strings.NewReader(encode(t, options))
		out, _ := cmd.Output() // one that failed says so
		require.NoError(t, json.Unmarshal(out, &reply), "%s", out)
		return reply
	}
	told := func() int {
		text, _ := os.ReadFile(h.root + "/told")
		return len(text) / len("told\n")
	}
	require.NoError(t, os.WriteFile(h.root+"/broken", nil, 0o600))
	assert.Equal(t, true, run()["failed"])
	require.NoError(t, os.Remove(h.root+"/broken"))
	require.Equal(t, 1, told())

	options["_ansible_check_mode"] = true
	assert.Equal(t, true, run()["changed"])
	options["_ansible_check_mode"] = false
	reply := run()
	assert.Equal(t, true, reply["changed"], "%v", reply)
	require.Nil(t, reply["failed"], "%v", reply)
	assert.Equal(t, 2, told())
	assert.Equal(t, false, run()["changed"])
	assert.Equal(t, 2, told())
	folder := must.Get(os.Stat(h.root + "/units/wg-quick@.service.d"))(t)
	assert.Equal(t, fs.FileMode(0o755), folder.Mode().Perm())
}
