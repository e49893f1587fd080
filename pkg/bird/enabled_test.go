package bird_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
)

// A BIRD that is to run starts at boot, too, unless its unit cannot. What enabled it is
// taken back, but not by who did not note it.
func TestEnabledAtBoot(t *testing.T) {
	for state, want := range map[string][]bird.Action{
		"disabled": {bird.ActInstall, bird.ActStart, bird.ActBoot},
		"enabled":  {bird.ActInstall, bird.ActStart}, // by an alias
		"masked":   {bird.ActInstall, bird.ActStart},
		"static":   {bird.ActInstall, bird.ActStart},
		"":         {bird.ActInstall, bird.ActStart},
	} {
		h, told := booted(t, map[string]string{"state": state})
		plan := func(start bool) (bird.Have, bird.Delta) {
			have := must.Get(h.Observe(t.Context()))(t)
			d := must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(1), Start: start}, have))(t)
			return have, d
		}
		_, d := plan(false)
		assert.Equal(t, []bird.Action{bird.ActInstall}, actions(d), state)
		have, d := plan(true)
		require.Equal(t, want, actions(d), state)
		note := have.Before(h)
		if len(want) < 3 {
			assert.False(t, note.Disabled, state)
			continue
		}
		before, after := bird.Views(have, d)
		assert.Contains(t, before, "# at boot: not started\n")
		assert.Contains(t, after, "# at boot: started\n")
		assert.Equal(t, []string{"enabled bird at boot"}, must.Get(h.Apply(t.Context(), d[2:]))(t))
		_, d = plan(true)
		assert.Equal(t, []bird.Action{bird.ActInstall, bird.ActStart}, actions(d))

		var former bird.Before
		require.NoError(t, json.Unmarshal([]byte(`{"host": {}, "running": false}`), &former))
		for _, back := range []bird.Before{former, note, note} {
			must.Get(h.GoBack(t.Context(), back))(t)
		}
		assert.Equal(t, []string{"systemctl enable bird", "systemctl disable bird"}, *told)
	}
}

// A change that BIRD may take back enables nothing, unless a guard disables it again: it is
// enabled when it is kept, and not when nothing is.
func TestTrialIsEnabledWhenKept(t *testing.T) {
	h, _ := booted(t, map[string]string{"state": "disabled"})
	have := must.Get(h.Observe(t.Context()))(t)
	have.Text, have.Daemon = conf(1), bird.Daemon{Running: true, Runs: stamp(1)}
	plan := func(want bird.Want) []bird.Action {
		want.Text, want.Start = conf(2), true
		return actions(must.Get(bird.Diff(want, have))(t))
	}
	trial := bird.Want{State: bird.Applied, Timeout: 60}
	assert.Equal(t, []bird.Action{bird.ActTry}, plan(trial))
	guarded := bird.Want{State: bird.Applied, Timeout: 60, Renew: true}
	assert.Equal(t, []bird.Action{bird.ActTry, bird.ActBoot}, plan(guarded))
	assert.Equal(t, []bird.Action{bird.ActTry, bird.ActBoot}, plan(bird.Want{State: bird.Applied}), "kept at once")
	keep := bird.Want{State: bird.Confirmed}
	assert.Empty(t, plan(keep))

	have.Daemon = bird.Daemon{Running: true, Runs: stamp(2), Pending: true}
	have.Marker, have.Trial = &bird.Marker{Candidate: "x", Stamp: stamp(2)}, conf(2)
	assert.Empty(t, plan(trial))
	assert.Equal(t, []bird.Action{bird.ActConfirm, bird.ActBoot, bird.ActFinish}, plan(keep))
	have.Daemon.Pending = false
	assert.Equal(t, []bird.Action{bird.ActBoot, bird.ActFinish}, plan(keep), "cut off")
	have.Text, have.Daemon, have.Marker, have.Trial = conf(2), bird.Daemon{Running: true, Runs: stamp(2)}, nil, nil
	assert.Equal(t, []bird.Action{bird.ActBoot}, plan(trial), "nothing waits")
}
