//go:build integration

package birdconfig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
)

// startBird runs BIRD in a network namespace of its own, with the
// distribution's file on disk.
func startBird(t *testing.T, conf, socket string) {
	t.Helper()
	require.Zero(t, os.Geteuid(), "this test needs root, for a network namespace")
	name := fmt.Sprintf("wt%d-birdconf", os.Getpid())
	for _, args := range [][]string{{"netns", "add", name}, {"-n", name, "link", "set", "lo", "up"}} {
		out, err := exec.CommandContext(context.Background(), "ip", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	cmd := exec.CommandContext(context.Background(), "ip", "netns", "exec", name, "bird", "-f", "-c", conf, "-s", socket)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		require.NoError(t, exec.CommandContext(context.Background(), "ip", "netns", "del", name).Run())
	})
	require.Eventually(t, func() bool {
		_, err := birdc.Do(t.Context(), socket, "show status")
		return err == nil
	}, 5*time.Second, 20*time.Millisecond, "bird listens")
}

// The life of a change: planned, applied, planned again, confirmed, planned
// again. A plan alone changes nothing on the host.
func TestLaw(t *testing.T) {
	dir := t.TempDir()
	o := options()
	o.Path, o.ControlSocket = filepath.Join(dir, "bird.conf"), filepath.Join(dir, "bird.ctl")
	require.NoError(t, o.Validate())
	foreign := []byte("log syslog all;\nrouter id 9.9.9.9;\nprotocol device {}\n")
	require.NoError(t, os.WriteFile(o.Path, foreign, 0o640))
	startBird(t, o.Path, o.ControlSocket)
	host := o.host(dir + "/")

	step := func(state string, changed, pending bool) {
		t.Helper()
		o.State = state
		p, err := plan(t.Context(), o, host)
		require.NoError(t, err)
		assert.Equal(t, changed, p.Changed, state)
		assert.Equal(t, p.Changed, p.Before != p.After)
		raw, err := json.Marshal(p.Return)
		require.NoError(t, err)
		assert.NotContains(t, string(raw), "null", "lists are lists also when empty")
		if changed {
			done, err := p.Apply(t.Context())
			require.NoError(t, err)
			assert.NotEmpty(t, done)
		}
		assert.Equal(t, pending, p.Return["pending"], state)
	}
	before, err := os.ReadDir(dir)
	require.NoError(t, err)
	_, err = plan(t.Context(), o, host)
	require.NoError(t, err)
	after, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Equal(t, len(before), len(after), "planning left a file")

	step(bird.Applied, true, true)
	step(bird.Applied, false, true)
	step(bird.Confirmed, true, false)
	step(bird.Confirmed, false, false)
	step(bird.Undone, false, false)
	step(bird.Applied, false, false)
	kept, err := os.ReadFile(o.Path + ".orig")
	require.NoError(t, err)
	assert.Equal(t, string(foreign), string(kept))

	o.HoldTime = 9
	p, err := plan(t.Context(), o, host)
	require.NoError(t, err)
	assert.Equal(t, []string{"azure_1"}, p.Return["disruptive"])
	step(bird.Applied, true, true)
	step(bird.Undone, true, false)
	o.HoldTime = 30
	step(bird.Applied, false, false)
}

func options() Options {
	var o Options
	o.SetDefaults()
	o.RouterID, o.AS = netip.MustParseAddr("0.0.0.1"), 65010
	o.Neighbors = []bird.Neighbor{{
		Name: "azure_1", Router: "azure-1", Interface: "wg2", AS: 65020,
		Address: netip.MustParseAddr("172.31.2.2"), LocalAddress: netip.MustParseAddr("172.31.2.1"),
	}}
	return o
}
