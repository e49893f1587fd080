package gate_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/plan"
)

// five is what aws-2 wants in a mesh of five, without those who are gone from the plan.
func five(dir string, gone ...string) gate.Want {
	w := gate.Want{Router: "aws-2", ID: 5, InterfacePrefix: "wg", Directory: dir, KeepRemoved: true}
	for i, name := range []string{"office-1", "office-2", "azure-1", "aws-1"} {
		number := plan.Number(5, i+1)
		if slices.Contains(gone, name) {
			continue
		}
		w.Tunnels = append(w.Tunnels, plan.Tunnel{
			Name: "wg" + string(rune('0'+number)), Peers: []plan.Peer{{Name: name}},
		})
		w.PresharedKeys = append(w.PresharedKeys, plan.PresharedKey{Number: number, Peer: name})
		w.Status = append(w.Status, plan.StatusTunnel{Peer: name})
		w.Peers = append(w.Peers, plan.GatePeer{
			Name: name, HostKey: "ssh-ed25519 AAAA" + strings.ReplaceAll(name, "-", ""),
		})
	}
	return w
}

// run does what a run of mesh_gate does, and a second one, which must do nothing.
func run(t *testing.T, w gate.Want) (by map[string]string, warnings []string) {
	t.Helper()
	have := must.Get(gate.Door{}.Observe(t.Context(), w))(t)
	d := must.Get(gate.Door{}.Diff(w, have))(t)
	must.Get(gate.Door{}.Apply(t.Context(), d))(t)
	have = must.Get(gate.Door{}.Observe(t.Context(), w))(t)
	assert.Empty(t, must.Get(gate.Door{}.Diff(w, have))(t).Files, "a second run changes something")
	by = map[string]string{}
	for _, r := range d.Removed {
		by[r.Name] = r.By
	}
	return by, d.Warnings()
}

// admits reports whether the gate lets a router in, by each of the three files.
func admits(t *testing.T, dir, name, key string) bool {
	t.Helper()
	_, err := must.Get(gate.Read(filepath.Join(dir, gate.StateFile)))(t).Link(name)
	in := err == nil
	for _, file := range []string{gate.AuthorizedKeys, gate.KnownHosts} {
		text := must.Get(os.ReadFile(filepath.Join(dir, file)))(t)
		if in {
			assert.Contains(t, string(text), key, file)
		} else {
			assert.NotContains(t, string(text), key, file)
			assert.NotContains(t, string(text), name, file)
		}
	}
	return in
}

const keyOfAzure = "ssh-ed25519 AAAAazure1"

func said(names ...string) []plan.GateRemoved {
	ids := map[string]int{"office-1": 1, "office-2": 2, "azure-1": 3, "aws-1": 4, "aws-2": 5}
	out := []plan.GateRemoved{}
	for _, n := range names {
		out = append(out, plan.GateRemoved{Name: n, ID: ids[n]})
	}
	return out
}

func TestWhoRemovesAndWhoLetsInAgain(t *testing.T) {
	type step struct {
		name   string
		change func(*gate.Want)
		in     bool
		by     string
	}
	operator := func(w *gate.Want) { w.KeepRemoved = false }
	operatorAbsent := func(w *gate.Want) {
		*w = five(w.Directory, "azure-1")
		w.KeepRemoved, w.Removed = false, said("azure-1")
	}
	operatorForgets := func(w *gate.Want) {
		*w = five(w.Directory, "azure-1")
		w.KeepRemoved = false
	}
	ownAbsent := func(w *gate.Want) {
		*w = five(w.Directory, "azure-1")
		w.Removed = said("azure-1")
	}
	ownForgets := func(w *gate.Want) { *w = five(w.Directory, "azure-1") }
	// hears are those who say that azure-1 is out, and with a "-" those who do not.
	hears := func(names string) func(*gate.Want) {
		heard := map[string][]plan.GateRemoved{}
		for name := range strings.FieldsSeq(names) {
			if silent, is := strings.CutPrefix(name, "-"); is {
				heard[silent] = said()
			} else {
				heard[name] = said("azure-1")
			}
		}
		return func(w *gate.Want) { w.Heard = heard }
	}
	itself := func(*gate.Want) {}
	const all, none = "office-1 office-2 aws-1", "-office-1 -office-2 -aws-1"

	for name, steps := range map[string][]step{
		"the mesh play removes, its own old inventory and the others cannot bring it back, the mesh play can": {
			{"joins", itself, true, ""},
			{"mesh play: absent", operatorAbsent, false, gate.ByMesh},
			{"joins with an old inventory", itself, false, gate.ByMesh},
			{"the others say nothing of it", hears(none), false, gate.ByMesh},
			{"joins with an inventory that says absent", ownAbsent, false, gate.ByMesh},
			{"joins without it", ownForgets, false, gate.ByMesh},
			{"joins with an old inventory again", itself, false, gate.ByMesh},
			{"mesh play: present", operator, true, ""},
		},
		"a router that vanished from the inventory of all": {
			{"joins", itself, true, ""},
			{"mesh play", operatorForgets, false, gate.ByMesh},
			{"joins with an old inventory", itself, false, gate.ByMesh},
			{"mesh play, still without it", operatorForgets, false, gate.ByMesh},
			{"mesh play: present", operator, true, ""},
		},
		"its own inventory": {
			{"absent", ownAbsent, false, gate.ByInventory},
			{"present", itself, true, ""},
			{"absent again", ownAbsent, false, gate.ByInventory},
			{"gone", ownForgets, false, ""},
		},
		"the others": {
			{"joins", itself, true, ""},
			{"two of three that answered", hears("office-1 office-2 -aws-1"), false, gate.ByPeers},
			{"joins, and nobody answers", itself, false, gate.ByPeers},
			{"one says otherwise", hears("-office-1"), false, gate.ByPeers},
			{"half say otherwise", hears("-office-1 office-2"), false, gate.ByPeers},
			{"most say otherwise", hears("-office-1 office-2 -aws-1"), true, ""},
			{"all", hears(all), false, gate.ByPeers},
			{"mesh play: present", operator, true, ""},
		},
		"not enough": {
			{"one of one", hears("office-1"), true, ""},
			{"one of three", hears("office-1 -office-2 -aws-1"), true, ""},
			{"one of two", hears("office-1 -office-2 azure-1"), true, ""},
		},
		"voices that do not count": {
			{"itself and strangers", hears("azure-1 stranger office-1"), true, ""},
			{
				"another id",
				func(w *gate.Want) {
					other := []plan.GateRemoved{{Name: "azure-1", ID: 9}}
					w.Heard = map[string][]plan.GateRemoved{"office-1": other, "office-2": other}
				}, true, "",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, s := range steps {
				w := five(dir)
				s.change(&w)
				by, _ := run(t, w)
				assert.Equal(t, s.in, admits(t, dir, "azure-1", keyOfAzure), s.name)
				assert.Equal(t, s.by, by["azure-1"], s.name)
				assert.True(t, admits(t, dir, "aws-1", "ssh-ed25519 AAAAaws1"), "%s: aws-1 is out too", s.name)
			}
		})
	}
}

// Whatever one router says of whomever, nobody goes and nobody comes back.
func TestOneLiar(t *testing.T) {
	dir := t.TempDir()
	w := five(dir)
	w.Heard = map[string][]plan.GateRemoved{
		"azure-1":  said("office-1", "office-2", "aws-1", "aws-2"),
		"office-1": said(), "office-2": said(), "aws-1": said(),
	}
	by, warnings := run(t, w)
	assert.Empty(t, by)
	const lies = " was removed from the mesh, says azure-1, which is not believed: it takes two, and more than " +
		"half of the 3 that answered; if it is true, run the mesh play, and if not, look at who says it"
	assert.Equal(t, []string{"office-1" + lies, "office-2" + lies, "aws-1" + lies}, warnings)

	w.Heard = map[string][]plan.GateRemoved{
		"office-1": said("office-2"), "azure-1": said("office-2"), "aws-1": said("office-2"),
	}
	by, warnings = run(t, w)
	assert.Equal(t, map[string]string{"office-2": gate.ByPeers}, by)
	assert.Equal(t,
		[]string{
			"office-2 was removed from the mesh, say aws-1, azure-1, office-1 (3 of the 3 that answered): " +
				"its tunnel, its keys and its entry in the gate go here too",
		}, warnings)
	w.Heard = map[string][]plan.GateRemoved{"office-1": said("office-2"), "azure-1": said(), "aws-1": said("office-2")}
	by, _ = run(t, w)
	assert.Equal(t, map[string]string{"office-2": gate.ByPeers}, by, "one liar brings it back")
}

// What was only heard is not told on: nobody's voice counts twice.
func TestFirstHand(t *testing.T) {
	s := gate.State{Removed: []gate.Removed{
		{GateRemoved: plan.GateRemoved{Name: "a", ID: 1, HostKey: keyA}, By: gate.ByMesh},
		{GateRemoved: plan.GateRemoved{Name: "b", ID: 2}, By: gate.ByPeers},
		{GateRemoved: plan.GateRemoved{Name: "c", ID: 3}, By: gate.ByInventory},
	}}
	assert.Equal(t, []plan.GateRemoved{{Name: "a", ID: 1}, {Name: "c", ID: 3}}, s.FirstHand())
	for _, name := range []string{"a", "b"} {
		_, out := s.Out(name, "")
		assert.True(t, out, name)
	}
	_, out := s.Out("c", "")
	assert.False(t, out, "the inventory has the last word about what it said itself")
	_, out = s.Out("mallory", keyA)
	assert.True(t, out, "another name for the same machine")
	_, out = s.Out("d", "")
	assert.False(t, out)
}

// A router that only got another name is not out, and neither is its machine.
func TestRenamed(t *testing.T) {
	dir := t.TempDir()
	run(t, five(dir))
	w := five(dir)
	w.KeepRemoved = false
	w.PresharedKeys[2].Peer, w.Status[2].Peer, w.Peers[2].Name,
		w.Tunnels[2].Peers[0].Name = "azure-one", "azure-one", "azure-one", "azure-one"
	by, _ := run(t, w)
	assert.Empty(t, by)
	assert.True(t, admits(t, dir, "azure-one", keyOfAzure))

	// It got another name and another id: the old ones are out, the machine is in.
	w.PresharedKeys[2] = plan.PresharedKey{Number: plan.Number(5, 9), Peer: "azure-9"}
	w.Status[2].Peer, w.Peers[2].Name, w.Tunnels[2].Peers[0].Name = "azure-9", "azure-9", "azure-9"
	w.Removed = []plan.GateRemoved{{Name: "azure-one", ID: 3, HostKey: w.Peers[2].HostKey}}
	by, _ = run(t, w)
	assert.Equal(t, map[string]string{"azure-one": gate.ByMesh}, by)
	assert.True(t, admits(t, dir, "azure-9", keyOfAzure))
}

// A number that is given again, long after its router was removed and its line deleted,
// does not let that router in again when some own inventory still has it.
func TestNumberIsGivenAgain(t *testing.T) {
	dir := t.TempDir()
	operator := func(gone ...string) gate.Want {
		w := five(dir, gone...)
		w.KeepRemoved = false
		return w
	}
	run(t, operator())
	run(t, operator("azure-1"))
	w := operator()
	w.PresharedKeys[2].Peer, w.Status[2].Peer, w.Tunnels[2].Peers[0].Name = "azure-5", "azure-5", "azure-5"
	w.Peers[2] = plan.GatePeer{Name: "azure-5", HostKey: "ssh-ed25519 AAAAother"}
	by, _ := run(t, w)
	assert.Equal(t, map[string]string{"azure-1": gate.ByMesh}, by)
	run(t, five(dir))
	assert.False(t, admits(t, dir, "azure-1", keyOfAzure))
}

// A router without a tunnel to this one any more is not out, nor is it when a run before said so.
func TestApart(t *testing.T) {
	dir := t.TempDir()
	run(t, five(dir))
	w := five(dir, "azure-1")
	w.KeepRemoved = false
	w.Apart = []plan.GateRemoved{{Name: "azure-1", ID: 3}}
	by, _ := run(t, w)
	assert.Empty(t, by)
	apart := w.Apart
	w.Apart = nil
	by, _ = run(t, w)
	assert.Empty(t, by, "it had no tunnel")
	run(t, five(dir))
	by, _ = run(t, w)
	assert.Equal(t, map[string]string{"azure-1": gate.ByMesh}, by)
	w.Apart = apart
	by, _ = run(t, w)
	assert.Empty(t, by)
}

func TestOnlyUpdate(t *testing.T) {
	w := five(filepath.Join(t.TempDir(), "wgmesh"))
	w.OnlyUpdate = true
	by, _ := run(t, w)
	assert.Empty(t, by)
	assert.NoDirExists(t, w.Directory)
	w.OnlyUpdate = false
	run(t, w)
	w = five(w.Directory, "azure-1")
	w.OnlyUpdate, w.KeepRemoved = true, false
	run(t, w)
	assert.False(t, admits(t, w.Directory, "azure-1", "azure-1"))
}

// A state of before there was anybody removed reads, and one that is removed is told why.
func TestRefusedInOneLine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, gate.StateFile)
	require.NoError(t,
		os.WriteFile(path,
			[]byte(`{"made_by": "wgmesh.router", "router": "aws-2", "interface_prefix": "wg", "tunnels": `+
				`[{"name": "wg9", "peers": [{"name": "azure-1"}]}],
		"preshared_keys": [{"number": 9, "peer": "azure-1"}], "status": [{"peer": "azure-1"}]}`), 0o600))
	w := five(dir, "azure-1")
	w.KeepRemoved = false
	by, _ := run(t, w)
	assert.Equal(t, map[string]string{"azure-1": gate.ByMesh}, by)
	s := must.Get(gate.Read(path))(t)
	assert.Equal(t, 3, s.Removed[0].ID, "by the number of its tunnel")
	_, err := s.Link("azure-1")
	assert.EqualError(t, err,
		"aws-2 has no tunnel to azure-1, which was removed from the mesh, by a run of the mesh play; "+
			"one with an inventory that calls it present lets it in again")
}

// Where only the routers' own inventories have host keys, the mesh play closes the
// gate for nobody but those who are out.
func TestHostKeysStay(t *testing.T) {
	dir := t.TempDir()
	run(t, five(dir))
	w := five(dir, "azure-1")
	w.KeepRemoved, w.Peers, w.Removed = false, nil, said("azure-1")
	run(t, w)
	assert.False(t, admits(t, dir, "azure-1", keyOfAzure))
	_, out := must.Get(gate.Read(filepath.Join(dir, gate.StateFile)))(t).Out("mallory", keyOfAzure)
	assert.True(t, out, "its machine comes back under another name")
	assert.True(t, admits(t, dir, "aws-1", "ssh-ed25519 AAAAaws1"))
	before := must.Get(os.ReadFile(filepath.Join(dir, gate.KnownHosts)))(t)
	w.Peers = five(dir, "azure-1").Peers
	run(t, w)
	after := must.Get(os.ReadFile(filepath.Join(dir, gate.KnownHosts)))(t)
	assert.Equal(t, string(after), string(before), "in another order")

	// Neither does a router by itself, whose discovery had no answer about one of them.
	w.KeepRemoved, w.Peers = true, w.Peers[1:]
	run(t, w)
	assert.True(t, admits(t, dir, "office-1", "ssh-ed25519 AAAAoffice1"))
	w.KeepRemoved, w.Peers = false, five(dir, "azure-1").Peers

	// What the inventory says goes before what is known.
	w.Peers[0].HostKey = "ssh-ed25519 AAAAnew"
	run(t, w)
	assert.True(t, admits(t, dir, "office-1", "ssh-ed25519 AAAAnew"))
	w.Peers = nil
	w.PresharedKeys[0].Number++ // another id is another machine
	run(t, w)
	assert.NotContains(t, string(must.Get(os.ReadFile(filepath.Join(dir, gate.AuthorizedKeys)))(t)), "office-1")
}

// What was only heard stays so when a run plans one router without it (mesh_plan's gate_file).
func TestHeardIsNoWordOfTheOperator(t *testing.T) {
	dir := t.TempDir()
	w := five(dir)
	said := []plan.GateRemoved{{Name: "office-2", ID: 2}}
	w.Heard = map[string][]plan.GateRemoved{"azure-1": said, "aws-1": said}
	by, _ := run(t, w)
	assert.Equal(t, map[string]string{"office-2": gate.ByPeers}, by)
	turn := five(dir, "office-2")
	turn.KeepRemoved = false
	by, _ = run(t, turn)
	assert.Equal(t, map[string]string{"office-2": gate.ByPeers}, by)
	assert.Empty(t, must.Get(gate.Read(filepath.Join(dir, gate.StateFile)))(t).FirstHand())
}
