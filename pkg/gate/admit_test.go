package gate_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/gate"
)

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
