package gate_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/plan"
)

const (
	keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA"
	keyB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBB"
)

func want(dir string) gate.Want {
	return gate.Want{
		Router: "office-1", ID: 1, InterfacePrefix: "wg", Directory: dir,
		Tunnels: []plan.Tunnel{
			{Name: "wg2", Peers: []plan.Peer{{Name: "azure-1"}}},
			{Name: "wg4", Peers: []plan.Peer{{Name: "aws-1"}}},
		},
		PresharedKeys: []plan.PresharedKey{
			{Number: 2, Peer: "azure-1", Role: "initiator"}, {Number: 4, Peer: "aws-1", Role: "initiator"},
		},
		Status: []plan.StatusTunnel{{Name: "wg2", Peer: "azure-1"}, {Name: "wg4", Peer: "aws-1"}},
		Peers:  []plan.GatePeer{{Name: "azure-1", HostKey: keyA}, {Name: "aws-1", HostKey: keyB}},
	}
}

// The law: apply what differs, and then nothing does.
func TestApplyAndAgain(t *testing.T) {
	w := want(filepath.Join(t.TempDir(), "wgmesh"))
	step := func() []string {
		have := must.Get(gate.Door{}.Observe(t.Context(), w))(t)
		delta := must.Get(gate.Door{}.Diff(w, have))(t)
		return must.Get(gate.Door{}.Apply(t.Context(), delta))(t)
	}
	assert.Len(t, step(), 3)
	assert.Empty(t, step())

	read := func(name string) string {
		return string(must.Get(os.ReadFile(filepath.Join(w.Directory, name)))(t))
	}
	assert.Contains(t, read(gate.AuthorizedKeys),
		`restrict,command="sudo -n /usr/local/bin/wgmesh gate azure-1" `+keyA+" azure-1\n")
	assert.Contains(t, read(gate.KnownHosts), "aws-1 "+keyB+"\n")

	// A line that somebody added, and a mode that sshd would refuse, are mended.
	path := filepath.Join(w.Directory, gate.AuthorizedKeys)
	require.NoError(t, os.WriteFile(path, []byte(read(gate.AuthorizedKeys)+"ssh-ed25519 AAAA mallory\n"), 0o600))
	require.NoError(t, os.Chmod(path, 0o666))
	assert.Equal(t, []string{"wrote " + path}, step())
	assert.NotContains(t, read(gate.AuthorizedKeys), "mallory")
	assert.Empty(t, step())
}

func TestLinkIsTheOneTunnel(t *testing.T) {
	w := want(t.TempDir())
	have := must.Get(gate.Door{}.Observe(t.Context(), w))(t)
	delta := must.Get(gate.Door{}.Diff(w, have))(t)
	must.Get(gate.Door{}.Apply(t.Context(), delta))(t)

	s := must.Get(gate.Read(filepath.Join(w.Directory, gate.StateFile)))(t)
	link := must.Get(s.Link("aws-1"))(t)
	assert.Equal(t, "wg4", link.Tunnel.Name)
	assert.Equal(t, 4, link.PresharedKey.Number)
	_, err := s.Link("gcp-1")
	assert.ErrorContains(t, err, `office-1 has no tunnel to "gcp-1": its inventory knows azure-1, aws-1`)
}

func TestReadSaysWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), gate.StateFile)
	assert.ErrorContains(t, must.Err(gate.Read(path)), "has not joined yet")
	require.NoError(t, os.WriteFile(path, []byte(`{"router": "off`), 0o600))
	assert.ErrorContains(t, must.Err(gate.Read(path)), "damaged")
}

func TestCheckRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*gate.Want)
		want   string
	}{
		"a name that is a command": {func(w *gate.Want) {
			w.Peers[0].Name = `x" ssh-rsa`
		}, "expected the name of another router"},
		"a name that is an option": {func(w *gate.Want) { w.Router = "--help" }, "expected the name of this router"},
		"no id":                    {func(w *gate.Want) { w.ID = 0 }, "expected the id of this router"},
		"a key with a line break": {func(w *gate.Want) {
			w.Peers[0].HostKey = keyA + "\nssh-ed25519 AAAA"
		}, "expected the type and the key"},
		"a key with options": {func(w *gate.Want) {
			w.Peers[0].HostKey = `command="sh" ` + keyA
		}, "expected the type and the key"},
		"a key twice":             {func(w *gate.Want) { w.Peers[1].HostKey = keyA }, "it is that of azure-1 too"},
		"a peer without a tunnel": {func(w *gate.Want) { w.Peers[1].Name = "gcp-1" }, "there is no tunnel to gcp-1"},
		"a folder of nowhere":     {func(w *gate.Want) { w.Directory = "etc" }, "expected an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			w := want("/etc/wgmesh")
			require.NoError(t, w.Validate())
			test.change(&w)
			assert.ErrorContains(t, w.Validate(), test.want)
		})
	}
}

const asked = `"_ansible_module_name": "wgmesh.router.mesh_peer"`

func TestAdmitPassesOnWhatIsPublic(t *testing.T) {
	out, err := gate.Admit([]byte(`{`+asked+`, "_ansible_check_mode": true, "_ansible_verbosity": 4, "state": "peered",
		"name": "azure-1", "public_key": "K", "sealing_key": "S", "envelopes": []}`), "azure-1")
	require.NoError(t, err)
	assert.JSONEq(t,
		`{"name": "azure-1", "_ansible_check_mode": true, "state": "peered", "public_key": "K", "sealing_key": "S", `+
			`"envelopes": []}`, string(out))

	out, err = gate.Admit([]byte(`{`+asked+`, "state": "known"}`), "azure-1")
	require.NoError(t, err)
	assert.JSONEq(t, `{"name": "azure-1", "state": "known"}`, string(out), "the name is that of the caller")
}

func TestAdmitRefuses(t *testing.T) {
	for name, test := range map[string]struct{ request, caller, want string }{
		"a shell": {
			"cat /etc/wireguard/wgmesh.key\n", "azure-1", "a shell, a file or a tunnel is not to be had here",
		},
		"nothing": {"", "azure-1", "expected the arguments"},
		"null":    {"null", "azure-1", "expected the arguments"},
		"another module": {
			`{"_ansible_module_name": "wgmesh.router.wg_tunnel", "tunnels": [], "purge": true}`,
			"azure-1", "may run wgmesh.router.mesh_peer here and nothing else",
		},
		"no module": {
			`{"state": "known"}`, "azure-1", "may run wgmesh.router.mesh_peer here and nothing else",
		},
		"the module twice": {
			`{` + asked + `, "_ansible_module_name": "wgmesh.router.wg_psk"}`, "azure-1", "and nothing else",
		},
		"another router": {
			`{` + asked + `, "name": "aws-1"}`, "azure-1",
			`azure-1 may speak for itself only, not for "aws-1"`,
		},
		"no router": {`{` + asked + `, "name": ["azure-1"]}`, "azure-1", "may speak for itself only"},
		"a file": {
			`{` + asked + `, "gate_file": "/tmp/mine"}`, "azure-1", "option gate_file is not for callers",
		},
		"a folder": {
			`{` + asked + `, "directory": "/root"}`, "azure-1", "option directory is not for callers",
		},
		"an upper-case option": {
			`{` + asked + `, "Directory": "/root"}`, "azure-1", "option Directory is not for callers",
		},
		"too much": {
			`{` + asked + `, "sealing_key": "` + strings.Repeat("A", gate.MaxRequest) + `"}`,
			"azure-1", "larger than 65536 bytes",
		},
		"a caller with a space":   {`{` + asked + `}`, "azure-1 x", "is not the name of a router"},
		"a caller with an option": {`{` + asked + `}`, "--help", "is not the name of a router"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := gate.Admit([]byte(test.request), test.caller)
			assert.ErrorContains(t, err, test.want)
			assert.Nil(t, out)
		})
	}
}

// Whatever is sent, what comes out are options of mesh_peer for this caller.
func FuzzAdmit(f *testing.F) {
	f.Add(`{` + asked + `, "state": "peered", "public_key": "K"}`)
	f.Add(`{` + asked + `, "name": "aws-1", "_ansible_x": 1}`)
	f.Add(`{"a": {}, ` + asked + `, "name": "azure-1"}`)
	allowed := []string{
		"name", "state", "public_key", "sealing_key", "envelopes", "_ansible_check_mode", "_ansible_diff",
	}
	f.Fuzz(func(t *testing.T, request string) {
		out, err := gate.Admit([]byte(request), "azure-1")
		if err != nil {
			assert.Nil(t, out)
			return
		}
		var options map[string]any
		require.NoError(t, json.Unmarshal(out, &options))
		assert.Equal(t, "azure-1", options["name"])
		for key := range options {
			assert.Contains(t, allowed, key)
		}
	})
}
