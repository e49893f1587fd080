package meshstatus_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	meshstatus "github.com/wgmesh/router/modules/mesh_status"
	"github.com/wgmesh/router/pkg/ansible"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// run runs the module as Ansible does. No tunnel of these tests exists.
func run(t *testing.T, options map[string]any) map[string]any {
	t.Helper()
	return nettest.Result(t, ansible.New(meshstatus.Plan, ansible.Unlocked()), options)
}

func options(t *testing.T) map[string]any {
	t.Helper()
	return map[string]any{
		"tunnels": []any{map[string]any{
			"name": "wtnone0", "peer": "azure-2", "address": "172.31.20.2", "neighbor": "azure_2",
		}},
		"control_socket": filepath.Join(t.TempDir(), "bird.ctl"),
		"router":         "office-1",
	}
}

func TestFailsWithEveryProblem(t *testing.T) {
	res := run(t, options(t))
	assert.Equal(t, true, res["failed"])
	assert.Equal(t, false, res["changed"])
	assert.Equal(t, false, res["required_healthy"])
	msg := res["msg"].(string)
	assert.Contains(t, msg, "2 problems: (1) BIRD does not run: start it")
	assert.Contains(t, msg, "(2) tunnel wtnone0 to azure-2: interface wtnone0 does not exist")
	assert.Len(t, res["problems"], 2)
	assert.Equal(t, "not healthy, problems: 2, 0/1 tunnels", texts(res["lines"])[2])
	assert.InDelta(t, time.Now().Unix(), res["time"], 600)
}

func TestExpectAnyOnlyReports(t *testing.T) {
	o := options(t)
	o["expect"] = "any"
	res := run(t, o)
	assert.Nil(t, res["failed"])
	assert.Equal(t, false, res["healthy"])
	assert.Equal(t, false, res["tunnels"].([]any)[0].(map[string]any)["healthy"])
}

func TestRequireLimitsWhatIsRequired(t *testing.T) {
	o := options(t)
	o["expect"], o["require"] = "any", []string{}
	res := run(t, o)
	assert.Equal(t, false, res["healthy"])
	assert.Equal(t, true, res["required_healthy"])
	assert.Nil(t, res["warnings"])

	o["require"] = "azure2"
	assert.Contains(t, texts(run(t, o)["warnings"])[0],
		"require: expected routers that have a tunnel here, azure2 have none")
}

func texts(list any) (out []string) {
	for _, v := range list.([]any) {
		out = append(out, v.(string))
	}
	return out
}

// The file of metrics is most wanted when something is wrong; check mode leaves no file.
func TestMetricsFile(t *testing.T) {
	o := options(t)
	path := filepath.Join(t.TempDir(), "wgmesh.prom")
	o["metrics_file"] = path
	o["_ansible_check_mode"] = true
	assert.Equal(t, true, run(t, o)["failed"])
	assert.NoFileExists(t, path)

	o["_ansible_check_mode"] = false
	res := run(t, o)
	assert.Equal(t, true, res["failed"])
	assert.Equal(t, false, res["changed"])
	text := must.Get(os.ReadFile(path))(t)
	assert.Contains(t, string(text), `wgmesh_healthy{router="office-1"} 0`)

	// Who looks what is wrong learns it also where the disk is full.
	o["metrics_file"], o["expect"] = filepath.Join(t.TempDir(), "none", "wgmesh.prom"), "any"
	res = run(t, o)
	assert.Nil(t, res["failed"], res["msg"])
	assert.NotEmpty(t, res["problems"])
	warnings := res["warnings"].([]any)
	assert.Contains(t, warnings[len(warnings)-1], "none is missing: make that folder, or correct mesh_metrics_file")
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct{ options, err string }{
		"nothing to look at": {options: `{}`},
		"unknown":            {options: `{"tunnel":[]}`, err: `did you mean "tunnels"?`},
		"expect":             {options: `{"expect":"all"}`, err: "expect: expected one of healthy, any"},
		"half a tunnel": {
			options: `{"tunnels":[{"name":"wg1"}]}`, err: "tunnels[0]: expected name, peer and address",
		},
		"no network":        {options: `{"prefixes":[{"site":"aws"}]}`, err: "prefixes[0]: expected a network"},
		"wait":              {options: `{"wait":-1}`, err: "wait: -1; expected 0 or more seconds"},
		"reach as the role": {options: `{"reach":{"aws-1":["10.2.1.4"]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var o meshstatus.Options
			err := ansible.Decode([]byte(tt.options), &o)
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.err)
		})
	}
}
