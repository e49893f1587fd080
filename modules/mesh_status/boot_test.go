package meshstatus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	put := func(path string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(root+path), 0o755))
		require.NoError(t, os.WriteFile(root+path, nil, 0o755))
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
}
