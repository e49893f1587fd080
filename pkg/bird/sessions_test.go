package bird_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

func TestDisrupts(t *testing.T) {
	both := []string{"azure_1", "gcp_2"}
	for name, tt := range map[string]struct {
		change func(*bird.Config)
		want   []string
	}{
		"nothing":      {change: func(*bird.Config) {}},
		"drain":        {change: func(c *bird.Config) { c.Drain = drain }},
		"owner":        {change: func(c *bird.Config) { c.Owners = c.Owners[:1] }},
		"import limit": {change: func(c *bird.Config) { c.Neighbors[0].ImportLimit = 77 }},
		"bfd interval": {change: func(c *bird.Config) { c.BFD.Interval = 333 }},
		"new session": {change: func(c *bird.Config) {
			n := c.Neighbors[0]
			n.Name = "azure_9"
			c.Neighbors = append(c.Neighbors, n)
		}},
		"gone session": {change: func(c *bird.Config) { c.Neighbors = c.Neighbors[:1] }},
		"hold time":    {change: func(c *bird.Config) { c.HoldTime = 9 }, want: both},
		"router id":    {change: func(c *bird.Config) { c.RouterID = netip.MustParseAddr("0.0.0.9") }, want: both},
		"address": {change: func(c *bird.Config) {
			c.Neighbors[0].Address = netip.MustParseAddr("172.31.18.9")
		}, want: []string{"azure_1"}},
		"interface": {change: func(c *bird.Config) { c.Neighbors[1].Interface = "wg99" }, want: []string{"gcp_2"}},
		"ipv6 goes": {change: func(c *bird.Config) {
			c.Neighbors[0].Address6 = netip.Addr{}
		}, want: []string{"azure_1"}},
		"ipv6 next hop": {change: func(c *bird.Config) {
			c.Neighbors[0].LocalAddress6 = netip.MustParseAddr("fd53::99")
		}, want: []string{"azure_1"}},
		"becomes iBGP":   {change: func(c *bird.Config) { c.Neighbors[0].AS = c.AS }, want: []string{"azure_1"}},
		"own AS changes": {change: func(c *bird.Config) { c.AS = 65099 }, want: both},
	} {
		t.Run(name, func(t *testing.T) {
			c, have := load(t, "testdata/dual")
			tt.change(&c)
			src := bird.Sources{IPv4: netip.MustParseAddr("10.3.0.2"), IPv6: netip.MustParseAddr("fd00:3::2")}
			want := bird.Render(c, src)
			assert.Equal(t, tt.want, bird.Disrupts(have, want))
		})
	}
	_, text := load(t, "testdata/dual")
	assert.Empty(t, bird.Disrupts(bytes.ReplaceAll(text, []byte("bfd graceful;"), []byte("bfd on;")), text))
	assert.Empty(t, bird.Disrupts([]byte("protocol bgp x { }\n"), text), "a foreign file has no session we know")
}

func TestDisruptsAfterALongLine(t *testing.T) {
	text := func(as string) []byte {
		return []byte("define SITE = [" + strings.Repeat(" 10.0.0.0/24,", 6000) + " ];\n" +
			"protocol bgp a from other_site {\n  neighbor as " + as + ";\n}\n")
	}
	assert.Equal(t, []string{"a"}, bird.Disrupts(text("65001"), text("65002")))
}

// A drain that is set in a text is the drain that the same configuration renders, so
// that a run of the mesh play finds nothing to change.
func TestRedrained(t *testing.T) {
	c, plain := load(t, "testdata/dual")
	for _, c.Version = range []bird.Version{{Major: 2, Minor: 17}, {Major: 3, Minor: 4}} {
		c.Drain = plan.Drain{}
		src := bird.Sources{IPv4: addrs("10.3.0.2")[0], IPv6: addrs("fd00:3::2")[0]}
		plain := bird.Render(c, src)
		assert.False(t, bird.Drained(plain).On())
		c.Drain = drain
		want := bird.Render(c, src)
		got := must.Get(bird.Redrained(plain, drain))(t)
		assert.Equal(t, string(want), string(got))
		assert.Equal(t, drain, bird.Drained(got))
		assert.Equal(t, string(plain), string(must.Get(bird.Redrained(got, plan.Drain{}))(t)))
	}
	for name, text := range map[string]string{
		"foreign": "router id 1.2.3.4;\n",
		"older":   strings.Replace(string(plain), "wgmesh_drained = ", "else_where = ", 1), "nothing": "",
	} {
		require.ErrorIs(t, must.Err(bird.Redrained([]byte(text), drain)), bird.ErrNoDrain, name)
	}
}

// What counts is what BIRD tries, then the file, then its copy.
func TestDrainedAsItIs(t *testing.T) {
	_, plain := load(t, "testdata/dual")
	drained := must.Get(bird.Redrained(plain, drain))(t)
	trial := bird.Have{
		Text: plain, Trial: drained,
		Marker: &bird.Marker{Stamp: bird.StampOf(drained)},
		Daemon: bird.Daemon{Running: true, Pending: true, Runs: bird.StampOf(drained)},
	}
	assert.Equal(t, drained, trial.Present())
	trial.Daemon = bird.Daemon{Running: true, Runs: bird.StampOf(plain)}
	assert.Equal(t, plain, trial.Present(), "it has been taken back")
	assert.Equal(t, drained, bird.Have{Text: drained[:40], Good: drained}.Present(), "it broke off")
}

// A BIRD that is to run starts at boot, too, unless its unit cannot. What enabled it is
// taken back, but not by who did not note it.
func TestEnabledAtBoot(t *testing.T) {
	for state, want := range map[string]string{
		"disabled": "install start boot",
		"enabled":  "install start", // by an alias
		"masked":   "install start",
		"static":   "install start",
		"":         "install start",
	} {
		h, told := booted(t, map[string]string{"state": state})
		plan := func(start bool) (bird.Have, bird.Delta) {
			have := must.Get(h.Observe(t.Context()))(t)
			d := must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(1), Start: start}, have))(t)
			return have, d
		}
		_, d := plan(false)
		assert.Equal(t, "install", actions(d), state)
		have, d := plan(true)
		require.Equal(t, want, actions(d), state)
		note := have.Before(h)
		if len(d) < 3 {
			assert.False(t, note.Disabled, state)
			continue
		}
		before, after := bird.Views(have, d)
		assert.Contains(t, before, "# at boot: not started\n")
		assert.Contains(t, after, "# at boot: started\n")
		assert.Equal(t, []string{"enabled bird at boot"}, must.Get(h.Apply(t.Context(), d[2:]))(t))
		_, d = plan(true)
		assert.Equal(t, "install start", actions(d))

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
	plan := func(want bird.Want) string {
		want.Text, want.Start = conf(2), true
		return actions(must.Get(bird.Diff(want, have))(t))
	}
	trial := bird.Want{State: bird.Applied, Timeout: 60}
	assert.Equal(t, "try", plan(trial))
	guarded := bird.Want{State: bird.Applied, Timeout: 60, Renew: true}
	assert.Equal(t, "try boot", plan(guarded))
	assert.Equal(t, "try boot", plan(bird.Want{State: bird.Applied}), "kept at once")
	keep := bird.Want{State: bird.Confirmed}
	assert.Empty(t, plan(keep))

	have.Daemon = bird.Daemon{Running: true, Runs: stamp(2), Pending: true}
	have.Marker, have.Trial = &bird.Marker{Candidate: "x", Stamp: stamp(2)}, conf(2)
	assert.Empty(t, plan(trial))
	assert.Equal(t, "confirm boot finish", plan(keep))
	have.Daemon.Pending = false
	assert.Equal(t, "boot finish", plan(keep), "cut off")
	have.Text, have.Daemon, have.Marker, have.Trial = conf(2), bird.Daemon{Running: true, Runs: stamp(2)}, nil, nil
	assert.Equal(t, "boot", plan(trial), "nothing waits")
}

func TestBirdsGroup(t *testing.T) {
	for text, want := range map[string]int{
		"root:x:0:\nbird:x:117:\n": 117, "bird:x:117:a,b": 117, "bird::0117:": 117, "bird:x:117:\nbird:x:118:\n": 117,
		"": 0, "bird:x:117": 0, "bird:x::": 0, "bird:x:-1:": 0, "bird:x:+1:": 0, "bird:x:1 :": 0, "bird:117:": 0,
		" bird:x:117:": 0, "xbird:x:117:": 0, "birds:x:117:": 0, "bird:x\n:117:": 0, "bird:x:1x:\nbird:x:118:": 118,
	} {
		assert.Equal(t, want, bird.BirdsGroup(text), "%q", text)
	}
}

func TestConfigPath(t *testing.T) {
	for name, tt := range map[string]struct {
		files []string
		want  string
	}{
		"Debian":               {files: []string{"etc/bird/bird.conf"}, want: "etc/bird/bird.conf"},
		"EL":                   {files: []string{"etc/bird.conf"}, want: "etc/bird.conf"},
		"both":                 {files: []string{"etc/bird.conf", "etc/bird/bird.conf"}, want: "etc/bird/bird.conf"},
		"nothing is there yet": {want: "etc/bird/bird.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir() + "/"
			for _, f := range tt.files {
				must.Write(t, root+f, "", 0o600)
			}
			assert.Equal(t, root+tt.want, bird.ConfigPath(root))
		})
	}
}

// Later BIRDs warn of each function before they say what is wrong.
func TestRefusalIsNoWarning(t *testing.T) {
	const warning = "bird: /dev/stdin:69:1 Inferring function own4 return type from its return value: bool"
	const refusal = "bird: /dev/stdin:9:2 syntax error"
	for said, want := range map[string]string{
		warning + "\n" + warning + "\n" + refusal + "\n": refusal, refusal + "\n": refusal, warning + "\n": warning,
	} {
		tools := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(tools, "said"), []byte(said), 0o600))
		must.Write(t, filepath.Join(tools, "bird"), "#!/bin/sh\ncat "+tools+"/said >&2\nexit 1\n", 0o700)
		t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
		err := bird.Check(context.Background(), nil)
		assert.EqualError(t, err, "BIRD refuses the configuration: "+want+" (exit status 1)")
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]bird.Version{
		"BIRD version 2.0.8\n": {Major: 2}, "BIRD version 2.0.12": {Major: 2},
		"BIRD version 2.17.6\n": {Major: 2, Minor: 17},
		"BIRD version 2.20.0":   {Major: 2, Minor: 20},
		"BIRD version 3.1.8\n":  {Major: 3, Minor: 1}, "BIRD version 3.4.0": {Major: 3, Minor: 4},
		"BIRD version 2.13": {Major: 2, Minor: 13}, "a warning\nBIRD version 3.2.0\n": {Major: 3, Minor: 2},
	} {
		got, err := bird.ParseVersion(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "BIRD version 1.6.8\n", "BIRD version 2.0.7",
		"BIRD version 3.0.1", "BIRD version 4.0.0", "BIRD version x", "sh: not found",
	} {
		_, err := bird.ParseVersion(text)
		assert.Error(t, err, text)
		assert.LessOrEqual(t, len(err.Error()), 160)
	}
}

// BIRD 3 forgets the other ways of a neighbor's AS when the best one goes, where MEDs
// are compared in groups. BIRD 2 keeps its words: other ones would restart all sessions.
func TestRenderByVersion(t *testing.T) {
	c, two := load(t, "testdata/dual")
	c.Version = bird.Version{Major: 2, Minor: 17}
	again := bird.Render(c, bird.Sources{IPv4: addrs("10.3.0.2")[0], IPv6: addrs("fd00:3::2")[0]})
	assert.Equal(t, string(two), string(again))
	c.Version = bird.Version{Major: 3, Minor: 1}
	three := bird.Render(c, bird.Sources{IPv4: addrs("10.3.0.2")[0], IPv6: addrs("fd00:3::2")[0]})
	assert.Contains(t, string(two), "deterministic med on;")
	assert.NotContains(t, string(three), "deterministic med")
	assert.Contains(t, string(three), "med metric on;")
	for _, site := range []string{"site4", "site6"} { // another one in each text, or BIRD 3 tells it of no interface
		assert.Contains(t, string(two), "protocol static "+site+" {")
		assert.Contains(t, string(three), "protocol static "+site+"_"+string(bird.StampOf(three))+" {")
	}
}
