package meshmeasure_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	meshmeasure "github.com/wgmesh/router/modules/mesh_measure"
	"github.com/wgmesh/router/pkg/ansible"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// run runs the module as Ansible does.
func run(t *testing.T, options map[string]any) map[string]any {
	t.Helper()
	result := nettest.Result(t, ansible.New(meshmeasure.Plan, ansible.Unlocked()), options)
	assert.Equal(t, false, result["changed"])
	return result
}

// tool puts a program in front of all others. It prints a recording and notes
// its arguments in the file that is returned.
func tool(t *testing.T, dir, name, script string) (calls string) {
	t.Helper()
	calls = filepath.Join(dir, name+".calls")
	must.Write(t, filepath.Join(dir, name), "#!/bin/sh\nprintf '%s\\n' \"$*\" >>"+calls+"\n"+script+"\n", 0o755)
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return calls
}

func recording(name string) string {
	path, _ := filepath.Abs("../../pkg/measure/testdata/" + name)
	return "cat " + path
}

func options(more map[string]any) map[string]any {
	o := map[string]any{
		"router": "office-1",
		"tunnels": []any{map[string]any{
			"name": "wg20", "peer": "aws-2", "address": "172.31.20.2", "endpoint": "198.51.100.12",
		}},
	}
	maps.Copy(o, more)
	return o
}

func TestMeasuresBothWays(t *testing.T) {
	calls := tool(t, t.TempDir(), "ping",
		`case "$*" in *wg20*) `+recording("ping-loss.txt")+`;; *) `+recording("ping-clean.txt")+`;; esac`)
	res := run(t, options(map[string]any{"interval": "0.5", "count": "4"}))
	assert.Equal(t,
		"office-1 - aws-2  wg20   outside 0.05/0.09 ms 0 %   inside 0.03/0.05 ms 30 %   - 0.03 ms",
		res["lines"].([]any)[0])
	assert.Empty(t, res["problems"])
	said := must.Get(os.ReadFile(calls))(t)
	assert.Equal(t,
		"-n -q -c 4 -s 1272 -i 0.5 -W 2 198.51.100.12\n-n -q -c 4 -s 1272 -i 0.5 -W 2 -I wg20 172.31.20.2\n",
		string(said))

	// What one call returns, another takes: here the table of all routers.
	again := run(t, map[string]any{"results": res["tunnels"]})
	assert.Equal(t, res["lines"], again["lines"])
	assert.Equal(t, res["tunnels"], again["tunnels"])
}

func TestCheckModeSendsNothing(t *testing.T) {
	calls := tool(t, t.TempDir(), "ping", recording("ping-clean.txt"))
	for _, state := range []string{"measured", "serving", "stopped"} {
		res := run(t, options(map[string]any{"_ansible_check_mode": true, "state": state, "throughput": true}))
		assert.Nil(t, res["failed"])
		if state == "measured" {
			assert.Equal(t, "office-1 - aws-2  wg20   outside 198.51.100.12    inside 172.31.20.2",
				res["lines"].([]any)[0])
		}
	}
	assert.NoFileExists(t, calls)
}

func TestToolsThatAreNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	res := run(t, options(nil))
	assert.Nil(t, res["failed"])
	assert.Equal(t,
		[]any{"office-1: ping is not there: install the package iputils-ping (apt-get) or iputils (dnf) on office-1"},
		res["problems"])

	// The one call is on the peer: it is its iperf3 that is missing.
	loopback := []any{map[string]any{"name": "wg20", "peer": "aws-2", "address": "127.0.0.1"}}
	res = run(t, options(map[string]any{"state": "serving", "tunnels": loopback}))
	assert.Equal(t,
		[]any{"aws-2: iperf3 is not there: install it (apt-get install iperf3, dnf install iperf3)"}, res["problems"])
}

func TestPingThatCannotSend(t *testing.T) {
	tool(t, t.TempDir(), "ping", "echo 'ping: SO_BINDTODEVICE wg20: No such device' >&2; exit 2")
	res := run(t, options(nil))
	assert.Contains(t, res["problems"],
		"office-1: tunnel wg20 to aws-2: ping inside to 172.31.20.2 failed (SO_BINDTODEVICE wg20: No such device): "+
			"see what wgmesh.router.status says")
}

func TestRefusesOptions(t *testing.T) {
	res := run(t, map[string]any{
		"state": "begun", "count": 0, "size": 8, "interval": "NaN", "parallel": 129, "seconds": 0, "port": 65536,
		"tunnels": []any{
			map[string]any{"name": "wg20"},
			map[string]any{"name": "wg21", "peer": "a", "address": "0.0.0.0", "endpoint": "224.0.0.1"},
		},
	})
	assert.Equal(t, true, res["failed"])
	for _, want := range []string{
		"state", "count: 0", "size: 8", "interval: NaN", "parallel: 129",
		"seconds: 0", "port: 65536", "tunnels[0]", "tunnels[1]: 0.0.0.0", "tunnels[1]: 224.0.0.1",
	} {
		assert.Contains(t, res["msg"], want)
	}
	assert.Equal(t, 10, strings.Count(res["msg"].(string), "expected"))
}
