//go:build integration

package meshpeer_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/nettest"
	meshgate "github.com/wgmesh/router/modules/mesh_gate"
	meshpeer "github.com/wgmesh/router/modules/mesh_peer"
	wgpsk "github.com/wgmesh/router/modules/wg_psk"
	wgtunnel "github.com/wgmesh/router/modules/wg_tunnel"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/mesh"
	"github.com/wgmesh/router/pkg/plan"
)

// An end is a router in a network namespace, with folders of its own.
type end struct {
	nettest.Namespace
	t    *testing.T
	name string // in the inventory
	dir  string
}

func sh(t *testing.T, format string, args ...any) string {
	t.Helper()
	return strings.TrimSpace(nettest.Sh(t, format, args...))
}

// twoEnds are office-1 and azure-1 of a mesh of three, joined by a cable.
func twoEnds(t *testing.T) (office, azure end) {
	t.Helper()
	ends := []end{{t: t, name: "office-1"}, {t: t, name: "azure-1"}}
	for i, id := range []string{"o", "a"} {
		ends[i].Namespace = nettest.New(t, id)
		ends[i].dir = filepath.Join(t.TempDir(), "etc")
		require.NoError(t, os.Mkdir(ends[i].dir, 0o700))
	}
	nettest.Cable(t, ends[0].Namespace, "eth0", ends[1].Namespace, "eth0")
	for i, e := range ends {
		sh(t, "ip -n %[1]s addr add 192.0.2.%[2]d/24 dev eth0; ip -n %[1]s link set eth0 up", e.Name, i+1)
		e.open(nil)
	}
	return ends[0], ends[1]
}

// plan is the plan of the end, for an inventory in which azure-1 has that state.
func (e end) plan(azure string) plan.Plan {
	e.t.Helper()
	m := mesh.Mesh{
		Routers: map[string]mesh.Router{
			"office-1": {ID: 1, Site: "office", Endpoint: "192.0.2.1"},
			"azure-1":  {ID: 2, Site: "azure", Endpoint: "192.0.2.2", State: azure},
			"aws-1":    {ID: 3, Site: "aws", Endpoint: "192.0.2.3"},
		},
		Sites: map[string]mesh.Site{
			"office": {AS: 65010, Networks: mesh.List{"10.0.0.0/16"}},
			"azure":  {AS: 65020, Networks: mesh.List{"10.1.0.0/16"}},
			"aws":    {AS: 65030, Networks: mesh.List{"10.2.0.0/16"}},
		},
	}
	m.SetDefaults()
	m.InterfacePrefix = e.Name
	plan, err := m.Plan(e.name)
	require.NoError(e.t, err)
	return plan
}

// open runs mesh_gate as a router that joins does, with an inventory that knows all.
func (e end) open(more map[string]any) {
	e.t.Helper()
	options := map[string]any{"plan": e.plan("present"), "interface_prefix": e.Name, "directory": e.dir}
	maps.Copy(options, more)
	res := e.module(ansible.New(meshgate.Plan), options)
	require.Nil(e.t, res["failed"], "%s", res["msg"])
}

// module runs a module in the namespace of the end.
func (e end) module(m ansible.Module, options map[string]any) map[string]any {
	e.t.Helper()
	return e.Module(e.t, m, options)
}

// ask runs mesh_peer on this end for a caller.
func (e end) ask(caller string, options map[string]any) map[string]any {
	e.t.Helper()
	all := map[string]any{
		"name": caller, "gate_file": e.dir + "/gate.json", "private_key_file": e.dir + "/key",
		"sealing_key_file": e.dir + "/seal",
		"identity_file":    e.dir + "/id", "psk_directory": e.dir + "/psk", "directory": e.dir,
		"control_socket": e.dir + "/no-bird",
	}
	maps.Copy(all, options)
	return e.module(ansible.New(meshpeer.Plan), all)
}

func (e end) must(caller string, options map[string]any) map[string]any {
	e.t.Helper()
	res := e.ask(caller, options)
	require.Nil(e.t, res["failed"], "%s", res["msg"])
	return res
}

// files is everything on the end's disk, by sums.
func (e end) files() string {
	return sh(e.t,
		"cd %s && find . -exec stat -c '%%n %%a %%Y' {} + | sort && find . -type f -exec sha256sum {} + | sort", e.dir)
}

func caller(res map[string]any) map[string]any {
	public := res["public"].(map[string]any)
	return map[string]any{"public_key": public["public_key"], "sealing_key": public["sealing_key"]}
}

func TestTwoEndsMeet(t *testing.T) {
	office, azure := twoEnds(t)
	fromAzure := caller(azure.must("office-1", map[string]any{"state": "known"}))
	fromOffice := caller(office.must("azure-1", map[string]any{"state": "known"}))
	assert.False(t, office.must("azure-1", map[string]any{"state": "known"})["changed"].(bool), "its keys are there")

	// In check mode it tells and does nothing.
	before := office.files()
	fromAzure["_ansible_check_mode"] = true
	assert.Equal(t, true, office.must("azure-1", fromAzure)["changed"])
	assert.Equal(t, before, office.files())
	delete(fromAzure, "_ansible_check_mode")

	// office-1 has the lower id: it makes the key, and its end is up.
	met := office.must("azure-1", fromAzure)
	assert.Equal(t, true, met["changed"])
	assert.Equal(t, []any{}, met["pending"])
	require.Len(t, met["envelopes"], 1)

	// The law: again, and nothing is left to do.
	before = office.files()
	again := office.must("azure-1", fromAzure)
	assert.Equal(t, false, again["changed"])
	assert.Equal(t, before, office.files())
	assert.Equal(t, met["psks"], again["psks"])
	assert.NotContains(t, sh(t, "ip -n %s -br link", office.Name), office.Name+"2",
		"the tunnel to aws-1 is nobody's business here")

	// azure-1 waits for the key until it comes with office-1's own call.
	waiting := azure.must("office-1", fromOffice)
	assert.NotEmpty(t, waiting["pending"])
	fromOffice["envelopes"] = met["envelopes"]
	opened := azure.must("office-1", fromOffice)
	assert.Equal(t, []any{}, opened["pending"])
	assert.Equal(t, met["psks"].([]any)[0].(map[string]any)["psk_id"],
		opened["psks"].([]any)[0].(map[string]any)["psk_id"])
	assert.Equal(t, false, azure.must("office-1", fromOffice)["changed"])

	require.Eventually(t, func() bool {
		return office.Command("ping", "-c1", "-W1", linkOf(t, azure)).Run() == nil
	}, 2*time.Minute, 100*time.Millisecond, "no packet came through the tunnel")

	// A second machine that calls itself azure-1 is refused while the first one lives.
	before = office.files()
	second := map[string]any{"public_key": sh(t, "wg genkey | wg pubkey"), "sealing_key": fromAzure["sealing_key"]}
	refused := office.ask("azure-1", second)
	assert.Equal(t, true, refused["failed"])
	assert.Contains(t, refused["msg"], "are there two machines with this name and id?")
	assert.Contains(t, refused["msg"], "its last handshake on "+office.Name+"1 was")
	assert.Equal(t, before, office.files())

	// And a sealing key that is none, whoever makes the key.
	for name, e := range map[string]end{"azure-1": office, "office-1": azure} {
		bad := map[string]any{
			"public_key": sh(t, "wg genkey | wg pubkey"), "sealing_key": "x", "replaced": []string{name},
		}
		res := e.ask(name, bad)
		assert.Equal(t, true, res["failed"])
		assert.Contains(t, res["msg"], "sealing_key: sealing key: expected base64 of an MLKEM768-X25519 public key")
	}

	// Without an envelope the responder has no pre-shared key for a new key, so the
	// tunnel keeps what it has, although it was told that office-1 was replaced.
	before = azure.files()
	fromOffice["public_key"], fromOffice["replaced"] = second["public_key"], []string{"office-1"}
	delete(fromOffice, "envelopes")
	res := azure.must("office-1", fromOffice)
	assert.Equal(t, false, res["changed"])
	assert.NotEmpty(t, res["pending"])
	assert.Equal(t, before, azure.files())

	// The initiator makes the key for it.
	second["replaced"] = []string{"azure-1"}
	replaced := office.must("azure-1", second)
	assert.Equal(t, []any{}, replaced["pending"])
	assert.Contains(t, sh(t, "ip netns exec %s wg show %s1 peers", office.Name, office.Name), second["public_key"])
}

// A router that was restored from before a rotation holds an old key that fits. It learns
// by the answer to its own question that the other end has a newer one.
func TestRestoredFromBackup(t *testing.T) {
	office, azure := twoEnds(t)
	fromAzure := caller(azure.must("office-1", map[string]any{"state": "known"}))
	fromOffice := caller(office.must("azure-1", map[string]any{"state": "known"}))
	number := office.plan("present").PresharedKeys[0].Number
	seal := func(rotate ...string) any {
		res := office.module(ansible.New(wgpsk.Plan), map[string]any{
			"name": "office-1", "state": "sealed", "tunnels": office.plan("present").PresharedKeys,
			"private_key_file": office.dir + "/key", "sealing_key_file": office.dir + "/seal",
			"directory": office.dir + "/psk", "control_socket": office.dir + "/no-bird", "rotate": rotate,
			"peers": []any{map[string]any{
				"name": "azure-1", "public_key": fromAzure["public_key"], "sealing_key": fromAzure["sealing_key"],
			}},
		})
		require.Nil(t, res["failed"], "%s", res["msg"])
		return res["envelopes"]
	}
	known := func(e end, peer string) map[string]any {
		t.Helper()
		res := e.must(peer, map[string]any{"state": "known"})
		require.Equal(t, false, res["changed"])
		require.NotContains(t, res, "psks")
		require.Len(t, res["known"], 1, "of this tunnel, and no other")
		return res["known"].([]any)[0].(map[string]any)
	}
	same := func() {
		t.Helper()
		here, there := known(office, "azure-1"), known(azure, "office-1")
		assert.Equal(t, here["psk_id"], there["psk_id"])
		assert.Equal(t, here["generation"], there["generation"])
		assert.Equal(t, fromAzure["public_key"], here["peer_public_key"])
		assert.Equal(t, fromOffice["public_key"], there["peer_public_key"])
	}
	assert.Equal(t, []any{}, azure.must("office-1", map[string]any{"state": "known"})["known"])
	fromOffice["envelopes"] = seal()
	azure.must("office-1", fromOffice)
	same()
	sh(t, "cp -a %[1]s/psk %[1]s/backup", office.dir)
	fromOffice["envelopes"] = seal("yes")
	azure.must("office-1", fromOffice)
	same()

	sh(t, "cd %s && cp -a backup/. psk", office.dir)
	fromOffice["envelopes"] = seal()
	before := azure.files()
	assert.Contains(t, fmt.Sprint(azure.must("office-1", fromOffice)["pending"]), "from a backup")
	assert.Equal(t, before, azure.files())
	assert.Less(t, known(office, "azure-1")["generation"], known(azure, "office-1")["generation"])
	fromOffice["envelopes"] = seal(fmt.Sprint(number))
	assert.Equal(t, []any{}, azure.must("office-1", fromOffice)["pending"])
	same()
}

// A rotation ended after azure-1 had told its new key, and it goes on with the one before:
// office-1 has the new one on its disk, and a peer without networks.
func TestKeyThatNobodyUses(t *testing.T) {
	office, azure := twoEnds(t)
	fromAzure := caller(azure.must("office-1", map[string]any{"state": "known"}))
	fromOffice := caller(office.must("azure-1", map[string]any{"state": "known"}))
	fromOffice["envelopes"] = office.must("azure-1", fromAzure)["envelopes"]
	azure.must("office-1", fromOffice)
	name, before := office.Name+"1", fromAzure["public_key"].(string)
	reaches := func() bool { return office.Command("ping", "-c1", "-W1", linkOf(t, azure)).Run() == nil }
	require.Eventually(t, reaches, 2*time.Minute, 100*time.Millisecond)

	wg := "ip netns exec " + office.Name + " wg "
	networks := strings.Join(strings.Fields(sh(t, wg+"show %s allowed-ips", name))[1:], ",")
	psk := sh(t, "cp -p %s/psk/1.psk %s/before.psk; echo %s/before.psk", office.dir, office.dir, office.dir)
	told := map[string]any{
		"public_key": sh(t, "wg genkey | wg pubkey"), "sealing_key": fromAzure["sealing_key"],
		"replaced": []string{"azure-1"},
	}
	office.must("azure-1", told)
	sh(t, wg+"set %s peer %s preshared-key %s endpoint 192.0.2.2:51801 allowed-ips %s", name, before, psk, networks)
	require.Eventually(t, reaches, 2*time.Minute, 100*time.Millisecond)
	require.Contains(t, sh(t, wg+"show %s allowed-ips", name), told["public_key"].(string)+"\t(none)")

	// A third key is a stranger's, as long as azure-1 is there.
	talk := azure.Command("ping", "-qi", "0.2", linkOf(t, office)) // as its BIRD does
	require.NoError(t, talk.Start())
	t.Cleanup(func() { _ = talk.Process.Kill(); _ = talk.Wait() })
	wanted := office.plan("present").Tunnels[:1]
	wanted[0].Peers[0].PresharedKeyFile = psk
	tunnels := func(key string) (pending any) {
		keys := map[string]any{"azure-1": key}
		if key == "" {
			keys = map[string]any{}
		}
		options := map[string]any{
			"tunnels": wanted, "public_keys": keys,
			"private_key_file": office.dir + "/key", "directory": office.dir, "control_socket": office.dir + "/no-bird",
			"interface_prefix": office.Name, "mss_clamp": false,
		}
		res := office.module(ansible.New(wgtunnel.Plan), options)
		require.Nil(t, res["failed"], "%s", res["msg"])
		return res["pending"]
	}
	third := map[string]any{"public_key": sh(t, "wg genkey | wg pubkey"), "sealing_key": fromAzure["sealing_key"]}
	assert.Contains(t, office.ask("azure-1", third)["msg"], "are there two machines with this name and id?")
	assert.Contains(t, fmt.Sprint(tunnels(third["public_key"].(string))), "whoever has the one before is alive")
	// Nothing is known of who is not in the run.
	assert.Contains(t, fmt.Sprint(tunnels("")), "it told a new public key and goes on with the one before")
	assert.Contains(t, sh(t, wg+"show %s allowed-ips", name), before+"\t10.")
	assert.Contains(t, sh(t, wg+"show %s allowed-ips", name), told["public_key"].(string)+"\t(none)")

	// Its own is the one that is in use.
	assert.Equal(t, []any{}, tunnels(before))
	assert.Equal(t, before, sh(t, wg+"show %s peers", name))
	assert.Eventually(t, reaches, 2*time.Minute, 100*time.Millisecond)
}

// A run that has rotated the keys of azure-1 comes to forgetting those of before when another one
// has told newer ones, which azure-1 is about to use.
func TestForgetsNoKeyOfAnotherRun(t *testing.T) {
	office, azure := twoEnds(t)
	first := caller(azure.must("office-1", map[string]any{"state": "known"}))
	office.must("azure-1", first)
	rotated := func(handover int) map[string]any {
		told := map[string]any{
			"public_key": sh(t, "wg genkey | wg pubkey"), "sealing_key": first["sealing_key"],
			"replaced": []string{"azure-1"}, "handover": handover,
		}
		office.must("azure-1", told)
		return told
	}
	older, newer := rotated(60), rotated(60)
	before, keys := office.files(), sh(t, "ip netns exec %s wg show %s1 dump | sort", office.Name, office.Name)
	for _, told := range []map[string]any{older, newer} {
		told["state"], told["handover"] = "settled", 0
	}
	res := office.ask("azure-1", older)
	assert.Equal(t, "azure-1 has told another public key since: leave its tunnel to the run that has made that",
		res["msg"])
	assert.Equal(t, before, office.files())
	assert.Equal(t, keys, sh(t, "ip netns exec %s wg show %s1 dump | sort", office.Name, office.Name))

	office.must("azure-1", newer)
	assert.Equal(t, newer["public_key"], sh(t, "ip netns exec %s wg show %s1 peers", office.Name, office.Name))
}

// linkOf is the address of the end in its tunnel.
func linkOf(t *testing.T, e end) string {
	t.Helper()
	return sh(t, "ip -n %s -4 -o addr show %s1 | awk '{print $4}' | cut -d/ -f1", e.Name, e.Name)
}

func TestRefusesStrangers(t *testing.T) {
	office, _ := twoEnds(t)
	before := office.files()
	res := office.ask("gcp-1", map[string]any{"state": "known"})
	assert.Contains(t, res["msg"], `office-1 has no tunnel to "gcp-1": its inventory knows azure-1, aws-1`)
	res = office.ask("azure-1", map[string]any{"public_key": sh(t, "wg genkey | wg pubkey")})
	assert.Equal(t, true, res["failed"])
	assert.Contains(t, res["msg"], "sealing_key")
	assert.Equal(t, before, office.files())
}

// The one task of the mesh play that takes the tunnel away closes the gate before:
// the router that was removed can ask as often as it likes, also when this one has
// an inventory of its own that still knows it.
func TestRemovedStaysOut(t *testing.T) {
	office, azure := twoEnds(t)
	fromAzure := caller(azure.must("office-1", map[string]any{"state": "known"}))
	office.must("azure-1", fromAzure)
	purge := func(azure string) map[string]any {
		plan := office.plan(azure)
		res := office.module(ansible.New(wgtunnel.Plan), map[string]any{
			"tunnels": plan.Tunnels, "public_keys": map[string]any{},
			"private_key_file": office.dir + "/key", "directory": office.dir,
			"interface_prefix": office.Name, "purge": true, "gate": plan,
			"gate_directory": office.dir, "mss_clamp": false,
		})
		require.Nil(t, res["failed"], "%s", res["msg"])
		return res
	}
	res := purge("absent")
	assert.Equal(t, []any{"azure-1"}, res["stale_peers"])
	done := fmt.Sprint(res["done"])
	assert.Less(t, strings.Index(done, "gate.json"), strings.Index(done, office.Name+"1"),
		"the gate comes first: %s", done)
	assert.Equal(t, false, purge("absent")["changed"])

	for _, inventory := range []string{"", "its own one is older"} {
		if inventory != "" {
			office.open(map[string]any{"keep_removed": true})
		}
		before := office.files()
		for _, state := range []string{"known", "peered"} {
			fromAzure["state"] = state
			res = office.ask("azure-1", fromAzure)
			assert.Equal(t, true, res["failed"], inventory)
			assert.Equal(t,
				"office-1 has no tunnel to azure-1, which was removed from the mesh, by a run of the mesh play; "+
					"one with an inventory that calls it present lets it in again", res["msg"], inventory)
		}
		assert.Equal(t, before, office.files())
	}
	assert.NotContains(t, sh(t, "ip -n %s -br link", office.Name), office.Name+"1")
	assert.NotContains(t, office.files(), office.Name+"1.conf")
	assert.Equal(t, []any{map[string]any{"name": "azure-1", "id": 2.}},
		office.must("aws-1", map[string]any{"state": "known"})["removed"])

	// The mesh play lets it in again.
	purge("present")
	assert.Nil(t, office.ask("azure-1", fromAzure)["failed"])
}
