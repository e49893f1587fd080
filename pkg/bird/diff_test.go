package bird_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
)

// conf is a text with a stamp of its own, as Render writes one.
func conf(stamp int) []byte {
	return fmt.Appendf(nil, "define wgmesh_config = \"%016d\";\n", stamp)
}

func stamp(n int) bird.Stamp { return bird.StampOf(conf(n)) }

// actions are the words of what is to be done, in their order.
func actions(d bird.Delta) string {
	var out []string
	for _, s := range d {
		out = append(out, string(s.Do))
	}
	return strings.Join(out, " ")
}

func TestDiffApplied(t *testing.T) {
	const cand = "/etc/bird/bird.conf.cand-x"
	runs := func(n int) bird.Daemon { return bird.Daemon{Running: true, Runs: stamp(n)} }
	trying := bird.Daemon{Running: true, Runs: stamp(2), Pending: true, Left: "17.2 s"}
	marker := &bird.Marker{Candidate: cand, Stamp: stamp(2)}
	here := func(text int, d bird.Daemon) bird.Have { return bird.Have{Text: conf(text), Daemon: d} }
	left := func(d bird.Daemon) bird.Have { // by a run that tried text 2
		return bird.Have{Text: conf(1), Daemon: d, Marker: marker, Candidates: []string{cand}, Trial: conf(2)}
	}
	deaf := func(n int) bird.Daemon { return bird.Daemon{Running: true, Runs: stamp(n), Deaf: []string{"site4_x"}} }
	edited := append(conf(2), "# by hand\n"...)
	other := bird.Have{
		Text: conf(1), Daemon: bird.Daemon{Running: true, Runs: stamp(3), Pending: true},
		Marker: &bird.Marker{Stamp: stamp(3)}, Trial: conf(3),
	}
	for name, tt := range map[string]struct {
		have    bird.Have
		timeout int
		renew   bool
		want    string
		pending bool
		err     error
	}{
		"nothing to do": {have: here(2, runs(2))},
		"a change":      {have: here(1, runs(1)), timeout: 60, want: "try", pending: true},
		"kept at once":  {have: here(1, runs(1)), want: "try"},
		"the first run at once": {
			have: bird.Have{Text: []byte("log syslog all;"), Daemon: runs(0)}, want: "original try",
		},
		"the first run, no BIRD": {
			have: bird.Have{Text: []byte("log syslog all;")}, want: "original install start",
		},
		"another original is there": {
			have: bird.Have{Text: []byte("log"), Original: true}, want: "aside original install start",
		},
		"no file, no BIRD":                        {have: bird.Have{}, want: "install start"},
		"stopped":                                 {have: bird.Have{Text: conf(2)}, want: "start"},
		"file right, daemon never reloaded":       {have: here(2, runs(1)), timeout: 60, want: "try", pending: true},
		"cut off between confirmation and rename": {have: left(runs(2)), want: "clean install"},
		"edited by hand, perhaps loaded": {
			have: bird.Have{Text: edited, Daemon: runs(2)}, timeout: 60, want: "try", pending: true,
		},
		"edited to something else, not loaded": {have: here(7, runs(2)), timeout: 60, want: "install"},
		"undone meanwhile": {
			have:    bird.Have{Text: conf(1), Daemon: runs(1), Marker: marker, Candidates: []string{cand}},
			timeout: 60, want: "clean try", pending: true,
		},
		"stale candidate": {
			have: bird.Have{Text: conf(2), Daemon: runs(2), Candidates: []string{cand}}, want: "clean",
		},
		"the same change waits": {have: left(trying)},
		"the same change waits, and the guard has its time anew": {
			have: left(trying), want: "undo clean try", renew: true, timeout: 60, pending: true,
		},
		"the same change waits, with another floor": {
			have: bird.Have{
				Text: conf(1), Daemon: trying, Trial: conf(2), Candidates: []string{cand},
				Marker: &bird.Marker{Candidate: cand, Stamp: stamp(2), Floor: []byte(`{}`)},
			},
			want: "undo clean try", timeout: 60, pending: true,
		},
		"another change of ours waits":               {have: other, timeout: 60, want: "undo clean try", pending: true},
		"another change of ours waits, kept at once": {have: other, want: "undo clean try"},
		"someone's own change waits":                 {have: here(1, trying), err: bird.ErrPending},
		"someone's change after ours": {
			have: left(bird.Daemon{Running: true, Runs: stamp(3), Pending: true}), err: bird.ErrPending,
		},
		"disabled by hand": {
			have: here(2, bird.Daemon{Running: true, Runs: stamp(2), Down: []string{"azure_1"}}),
			want: "enable",
		},
		"it read the same text again":  {have: here(2, deaf(2)), want: "hear"},
		"another text, and all is new": {have: here(1, deaf(1)), timeout: 60, want: "try", pending: true},
	} {
		t.Run(name, func(t *testing.T) {
			want := bird.Want{State: bird.Applied, Text: conf(2), Timeout: tt.timeout, Start: true, Renew: tt.renew}
			d, err := bird.Diff(want, tt.have)
			require.ErrorIs(t, err, tt.err)
			assert.Equal(t, tt.want, actions(d))
			assert.Equal(t, tt.pending, len(d) > 0 && d.Pending(tt.have.Daemon.Pending))
			before, after := bird.Views(tt.have, d)
			assert.Equal(t, len(d) == 0, before == after, "%s\n---\n%s", before, after)
		})
	}
}

func TestDiffUnit(t *testing.T) {
	have := bird.Have{
		Text: conf(2), Daemon: bird.Daemon{Running: true, Runs: stamp(2)},
		Unit: bird.Unit{DropIn: "[Service]\n"}, Good: conf(2),
	}
	unit := bird.Host{Path: "/etc/bird/bird.conf", Service: "bird", Units: "/etc/systemd/system"}.Unit()
	assert.Contains(t, unit.DropIn, "\nOOMScoreAdjust=-900\n")
	assert.Contains(t, unit.DropIn,
		"ExecCondition=/bin/sh /etc/systemd/system/bird.service.d/50-wgmesh.sh /etc/bird/bird.conf\n")
	assert.Contains(t, unit.Script, fmt.Sprintf(" metric %d\\\\(", uint32(bird.Metric)), "whose routes it copies")
	d := must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(2), Unit: unit}, have))(t)
	assert.Equal(t, "unit", actions(d))
	have.Unit = unit
	d = must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(2), Unit: unit}, have))(t)
	assert.Empty(t, d)
	for name, good := range map[string][]byte{"no copy": nil, "an old copy": conf(1)} {
		have.Good = good
		d = must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(2), Unit: unit}, have))(t)
		assert.Equal(t, "keep", actions(d), name)
		before, after := bird.Views(have, d)
		assert.NotEqual(t, before, after, name)
	}
	// While a text is tried, the copy stays that of the confirmed one.
	have.Daemon.Runs, have.Text = stamp(1), conf(1)
	d = must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(2), Unit: unit, Timeout: 60}, have))(t)
	assert.Equal(t, "try", actions(d))
}

func TestDiffConfirmedAndUndone(t *testing.T) {
	const cand = "/etc/bird/bird.conf.cand-x"
	marker := &bird.Marker{Candidate: cand, Stamp: stamp(2), Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	left := func(s bird.Have) bird.Have {
		s.Marker, s.Candidates, s.Trial = marker, []string{cand}, conf(2)
		return s
	}
	pending := bird.Daemon{Running: true, Runs: stamp(2), Pending: true, Left: "17 s"}
	for name, tt := range map[string]struct {
		have               bird.Have
		confirmed, undone  string
		confirmErr, undErr string
	}{
		"nothing waits": {have: bird.Have{Text: conf(1), Daemon: bird.Daemon{Running: true, Runs: stamp(1)}}},
		"waits": {
			have: left(bird.Have{Text: conf(1), Daemon: pending}), confirmed: "confirm finish",
			undone: "undo clean",
		},
		"waits, in place of its edited self": {
			have: left(bird.Have{Text: conf(1), Daemon: bird.Daemon{
				Running: true, Runs: stamp(2), Pending: true, Deaf: []string{"site4_x"},
			}}),
			confirmed: "confirm finish hear",
			undone:    "undo clean",
		},
		"waits, first run": {
			have:      left(bird.Have{Text: []byte("log"), Daemon: pending}),
			confirmed: "confirm original finish", undone: "undo clean",
		},
		"not ours": {
			have:       bird.Have{Text: conf(1), Daemon: pending},
			confirmErr: "it is not this module's", undErr: "it is not this module's",
		},
		"candidate lost": {
			have:       bird.Have{Text: conf(1), Daemon: pending, Marker: marker},
			confirmErr: "is gone", undone: "undo clean",
		},
		"undo has fired": {
			have:       left(bird.Have{Text: conf(1), Daemon: bird.Daemon{Running: true, Runs: stamp(1)}}),
			confirmErr: "has been taken back: its time ran out at 03:04:05", undone: "clean",
		},
		"rebooted meanwhile": {
			have: bird.Have{
				Text: conf(1), Daemon: bird.Daemon{Running: true, Runs: stamp(1)},
				Candidates: []string{"/etc/bird/bird.conf.cand-again", cand},
			},
			confirmErr: "has been taken back: " + cand + " was not kept", undone: "clean",
		},
		"cut off while it heard again": {
			have: bird.Have{
				Text: conf(1), Daemon: bird.Daemon{Running: true, Runs: stamp(1)},
				Candidates: []string{"/etc/bird/bird.conf.cand-again"},
			},
			undone: "clean",
		},
		"died meanwhile": {
			have:       left(bird.Have{Text: conf(1)}),
			confirmErr: "BIRD does not run", undone: "clean",
		},
		"cut off after the confirmation": {
			have:      left(bird.Have{Text: conf(1), Daemon: bird.Daemon{Running: true, Runs: stamp(2)}}),
			confirmed: "finish", undone: "load clean",
		},
		"cut off after the rename": {
			have:      bird.Have{Text: conf(2), Daemon: bird.Daemon{Running: true, Runs: stamp(2)}, Marker: marker},
			confirmed: "clean", undone: "clean",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for state, want := range map[string]struct {
				do  string
				err string
			}{bird.Confirmed: {tt.confirmed, tt.confirmErr}, bird.Undone: {tt.undone, tt.undErr}} {
				d, err := bird.Diff(bird.Want{State: state}, tt.have)
				if want.err != "" {
					assert.ErrorContains(t, err, want.err, state)
					continue
				}
				require.NoError(t, err, state)
				assert.Equal(t, want.do, actions(d), state)
			}
		})
	}
}

func TestHostValidate(t *testing.T) {
	good := bird.Host{Path: "/etc/bird/bird.conf", Socket: "/run/bird/bird.ctl", Service: "bird"}
	require.NoError(t, good.Validate())
	for name, change := range map[string]func(*bird.Host){
		"path":           func(h *bird.Host) { h.Path = `/etc/bird" timeout 1` },
		"control_socket": func(h *bird.Host) { h.Socket = "bird.ctl" },
		"service":        func(h *bird.Host) { h.Service = "bird.service" },
	} {
		bad := good
		change(&bad)
		assert.ErrorContains(t, bad.Validate(), name+":")
	}
	for _, path := range []string{
		"", "/", "bird.conf", "/etc/", "/etc/.", "/etc/..", "/etc/../x", "/etc//x", "/x.", "/x\n", "/x y", "/é",
		"/x*", "/x\x00",
	} {
		bad := good
		bad.Path = path
		assert.Error(t, bad.Validate(), "%q", path)
	}
	for _, service := range []string{"@", "-x", ".x", "x y", "x\n", "x/y", "é", "bird;", "bird\x00"} {
		bad := good
		bad.Service = service
		assert.Error(t, bad.Validate(), "%q", service)
	}
	good.Service = ""
	require.NoError(t, good.Validate())
	good.Service = "bird@a-b.c"
	require.NoError(t, good.Validate())
}
