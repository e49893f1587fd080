//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	wgkeypair "github.com/wgmesh/router/modules/wg_keypair"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/gate"
)

// joiner is the router that joins while another run does something to it.
var joiner = honest[1]

// joining is a network that is peered, and the folder of the joiner.
func joining(t *testing.T, core string) (n *network, dir string) {
	t.Helper()
	t.Parallel()
	n = newNetwork(t, core)
	for liar := range n.liars {
		delete(n.ids, liar)
	}
	n.routers(honest)
	n.green("mesh")
	for _, name := range honest {
		n.gate(name)
	}
	return n, n.folder(joiner)
}

func (n *network) join() (string, error) {
	n.t.Helper()
	return n.playbook("join", "-e", "wgmesh_self="+joiner, "-e", "wgmesh_identity_file=/no/key")
}

// A router that is removed while another one joins gets no tunnel and no key from that join,
// whose plan is older.
func TestRemovedWhileAnotherOneJoins(t *testing.T) {
	for _, tt := range []struct {
		when, core, gone string
	}{
		{"after it was told", "newest", honest[0]},
		{"after it was asked", "2.14", honest[2]},
		{"after its plan", "newest", honest[2]}, // of a callback, whose plan goes before what the gate has
	} {
		t.Run(tt.when, func(t *testing.T) {
			n, dir := joining(t, tt.core)
			i, j := min(n.ids[joiner], n.ids[tt.gone]), max(n.ids[joiner], n.ids[tt.gone])
			number := (j-1)*(j-2)/2 + i
			nettest.Sh(t, "cp -a %[1]s/gate %[1]s/gate.before", dir)
			n.gate(joiner, tt.gone)
			nettest.Sh(t, "cd %s && mv gate gate.removed && mv gate.before gate", dir)
			hook, play := tt.gone+"/meanwhile", n.join
			switch tt.when {
			case "after it was asked":
				hook += "known"
			case "after its plan":
				hook = joiner + "/meanwhilekeys"
				play = func() (string, error) { return n.playbook("callback", "--limit", joiner) }
			}
			n.write("router/"+hook, fmt.Sprintf(
				"cd %s && [ -e gate.removed ] && rm -r gate psk/%d.* && mv gate.removed gate", dir, number), 0o600)

			out, err := play()
			require.NoError(t, err, tail(out))
			require.NoDirExists(t, dir+"/gate.removed", "nothing was removed meanwhile")
			var told struct {
				Tunnels []struct{ Name string }
			}
			require.NoError(t, json.Unmarshal(must.Get(os.ReadFile(dir+"/wg_tunnel.json"))(t), &told))
			require.Len(t, told.Tunnels, 1, "and the tunnel to the third one")
			assert.NotEqual(t, fmt.Sprintf("wg%d", number), told.Tunnels[0].Name)
			assert.NotContains(t, string(must.Get(os.ReadFile(dir+"/bird_config.json"))(t)), tt.gone)
			left := must.Get(filepath.Glob(fmt.Sprintf("%s/psk/%d.*", dir, number)))(t)
			assert.Empty(t, left)
			state := must.Get(gate.Read(dir + "/gate/" + gate.StateFile))(t)
			assert.False(t, state.Knows(tt.gone), "it is let in again")
		})
	}
}

// A router that gets new keys while it joins leaves them to the run that has made them: the
// others were told of those before, or do not take the new ones from it.
func TestNewKeysWhileItJoins(t *testing.T) {
	n, dir := joining(t, "newest")
	nettest.Sh(t, "cp -a %[1]s/key %[1]s/key.before", dir)
	p := player{name: joiner, dir: dir}
	made := p.run(ansible.New(wgkeypair.Plan, ansible.Unlocked()),
		map[string]any{"name": joiner, "regenerate": "always"}, keyFiles)
	require.Nil(t, made["failed"], made["msg"])
	nettest.Sh(t, "cd %s && mv key key.after && mv key.before key && rm *.json", dir)
	n.write("router/"+honest[0]+"/meanwhile", fmt.Sprintf("mv %[1]s/key.after %[1]s/key", dir), 0o600)

	unchanged := func(out string, err error, why string) {
		t.Helper()
		require.Error(t, err)
		assert.Contains(t, failures(out, joiner)[0], why, tail(out))
		for _, module := range []string{"wg_tunnel", "bird_config", "sysctl_router"} {
			assert.NoFileExists(t, dir+"/"+module+".json", "it was changed")
		}
	}
	out, err := n.join()
	require.NoFileExists(t, dir+"/key.after", "nobody made new keys meanwhile")
	unchanged(out, err, "is not the key that the others were told")

	n.write("router/"+joiner+"/renewed", "", 0o600)
	n.write("router/"+honest[0]+"/meanwhile", "touch "+dir+"/told", 0o600)
	out, err = n.join()
	unchanged(out, err, "its new keys wait for their confirmation")
	assert.NoFileExists(t, dir+"/told", "another router was told of a key that may be taken back")
}

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

// A router that was taken over calls as often as it likes. It waits for itself alone: in a row at
// the router's lock its calls would keep the operator from removing it.
func TestOneCallOfACallerAtATime(t *testing.T) {
	call := func(caller string) string {
		var out bytes.Buffer
		request := strings.NewReader(`{"_ansible_module_name": "wgmesh.router.mesh_peer", "state": "known"}`)
		gateCommand(t.Context(), []string{caller}, request, &out, &out)
		return out.String()
	}
	release := must.Get(ansible.Turn(t.Context(), "gate-azure-1"))(t) // its call that is at work
	assert.Contains(t, call("azure-1"), "lock /run/wgmesh/gate-azure-1: held by pid ")
	const works = "gate.json does not exist"
	assert.Contains(t, call("azure-2"), works)
	release()
	assert.Contains(t, call("azure-1"), works)
}
