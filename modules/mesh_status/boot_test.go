package meshstatus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
)

func TestNotEnabled(t *testing.T) {
	const state = "UnitFileState="
	units := []string{"a", "b", "c"}
	for text, want := range map[string][]string{
		state + "enabled\n\n" + state + "static\n\n" + state + "alias\n":             nil,
		state + "disabled\n\n" + state + "\n\n" + state + "masked\n":                 units,
		state + "enabled\n\n" + state + "enabled-runtime\n\n" + state + "indirect\n": {"b"},
		state + "disabled\n": nil, "": nil,
	} {
		assert.Equal(t, want, notEnabled(units, text), text)
	}
}

// All that the next boot lacks is one note, and all that undoes it is one more.
func TestNotesOfTheNextBoot(t *testing.T) {
	seen := status.Observation{
		Unready: map[string][]string{
			"the mesh play":        {"bird is not enabled", "/etc/bird is closed to BIRD"},
			"wgmesh.router.routes": {"wgmesh-failover is not enabled"},
		},
		Defeated: []string{"net.ipv4.ip_forward=0 in /etc/sysctl.d/zz.conf"},
	}
	assert.Equal(t, []string{
		"after the next boot it will not be as it is now (bird is not enabled, /etc/bird is closed to BIRD): " +
			"run the mesh play",
		"after the next boot it will not be as it is now (wgmesh-failover is not enabled): run wgmesh.router.routes",
		"what is read after the mesh's kernel settings undoes them (net.ipv4.ip_forward=0 in " +
			"/etc/sysctl.d/zz.conf): mend those lines",
	}, status.Notes(status.Request{}, seen))
}

// What other plays than the mesh play set up is looked at where it is: the daemon of failover where it runs, and
// what joins where it is told how.
func TestOthersAtBoot(t *testing.T) {
	root := t.TempDir()
	put := func(path string, text ...byte) {
		require.NoError(t, os.MkdirAll(filepath.Dir(root+path), 0o755))
		require.NoError(t, os.WriteFile(root+path, text, 0o755))
	}
	// As the plays bring them: who changes one, changes its digest.
	for _, files := range unitFiles {
		for name := range files {
			from := strings.ReplaceAll(filepath.Base(name), "60-wgmesh-join", "wg-quick-join")
			at := must.Get(filepath.Glob("../../roles/*/files/" + from))(t)
			require.Len(t, at, 1, name)
			put("/etc/systemd/system/"+name, must.Get(os.ReadFile(at[0]))(t)...)
		}
	}
	var seen status.Observation
	assert.Empty(t, others(root, seen))
	seen.FailoverRuns = true
	put(plan.JoinFile)
	lacking := func() (units, programs []string) {
		for _, o := range others(root, seen) {
			units, programs = append(units, o.play+" "+strings.Join(o.units, " ")), append(programs, o.missing...)
		}
		return units, programs
	}
	units, programs := lacking()
	assert.Equal(t, []string{
		"wgmesh.router.routes wgmesh-failover.service",
		"wgmesh.router.image wgmesh-host-key.service wgmesh-join.timer",
	}, units)
	assert.Equal(t, []string{plan.FailoverProgram, plan.JoinProgram, plan.JoinCloud}, programs)
	for _, program := range programs {
		put(program)
	}
	_, programs = lacking()
	assert.Empty(t, programs)
	const timer, unit = "/etc/systemd/system/wgmesh-join.timer", "/etc/systemd/system/wgmesh-failover.service"
	for _, o := range others(root, seen) {
		assert.Empty(t, o.differs)
	}
	put(timer, '#')
	require.NoError(t, os.Remove(root+unit))
	found := others(root, seen)
	assert.Equal(t, []string{unit}, found[0].missing)
	assert.Equal(t, []string{timer}, found[1].differs)
}
