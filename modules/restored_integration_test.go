//go:build integration

package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
)

// A router that was restored from before a rotation of pre-shared keys joins by itself: it
// makes a new key for the tunnel of which the other end has a newer one, and for no other.
func TestRestoredRouterJoins(t *testing.T) {
	n := newNetwork(t, "newest")
	from, restored, to := honest[0], honest[1], honest[2]
	n.routers(honest)
	n.green("mesh")
	for _, name := range honest {
		n.gate(name)
	}
	psk := filepath.Join(n.folder(restored), "psk")
	nettest.Sh(t, "cp -a %[1]s %[1]s.backup", psk)
	n.green("mesh", "-e", "mesh_rotate_preshared_keys=true")
	rotated := n.tunnels()
	nettest.Sh(t, "rm -r %[1]s && mv %[1]s.backup %[1]s", psk)

	n.green("join", "-e", "wgmesh_self="+restored, "-e", "wgmesh_identity_file=/no/key")
	now := n.tunnels()
	there, here := to+" to "+restored+" .psk", restored+" to "+to+" .psk"
	assert.NotEqual(t, rotated[there], now[there])
	assert.Equal(t, now[there], now[here])
	for _, end := range []string{restored + " to " + from, from + " to " + restored, from + " to " + to} {
		require.NotEmpty(t, rotated[end+" .psk"])
		assert.Equal(t, rotated[end+" .psk"], now[end+" .psk"], end)
	}
}
