package meshstatus

import (
	"testing"

	"github.com/stretchr/testify/assert"

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
		Unready:  []string{"bird is not enabled", "/etc/bird is closed to BIRD"},
		Defeated: []string{"net.ipv4.ip_forward=0 in /etc/sysctl.d/zz.conf"},
	}
	assert.Equal(t, []string{
		"after the next boot it will not be as it is now (bird is not enabled, /etc/bird is closed to BIRD): " +
			"run the mesh play",
		"what is read after the mesh's kernel settings undoes them (net.ipv4.ip_forward=0 in " +
			"/etc/sysctl.d/zz.conf): mend those lines",
	}, status.Notes(status.Request{}, seen))
}
