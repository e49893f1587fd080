//go:build integration

package birdconfig

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

// startBird runs BIRD in a network namespace of its own, with the distribution's file on disk.
func startBird(t *testing.T, conf, socket string) nettest.Namespace {
	t.Helper()
	ns := nettest.New(t, "birdconf")
	ns.Bird(t, conf, socket)
	return ns
}

// The life of a change: planned, applied, planned again, confirmed, planned
// again. A plan alone changes nothing on the host.
func TestLaw(t *testing.T) {
	dir := t.TempDir()
	o := options()
	o.Path, o.ControlSocket = filepath.Join(dir, "bird.conf"), filepath.Join(dir, "bird.ctl")
	require.NoError(t, o.Validate())
	foreign := []byte("log syslog all;\nrouter id 9.9.9.9;\nprotocol device {}\n")
	require.NoError(t, os.WriteFile(o.Path, foreign, 0o640))
	startBird(t, o.Path, o.ControlSocket)
	host := o.host(dir + "/")
	below := o.floor(dir+"/", host)

	step := func(state string, changed, pending bool) {
		t.Helper()
		o.State = state
		p := must.Get(planBoth(t.Context(), o, host, below))(t)
		assert.Equal(t, changed, p.Changed, state)
		assert.Equal(t, p.Changed, p.Before != p.After)
		raw := must.Get(json.Marshal(p.Return))(t)
		assert.NotContains(t, string(raw), "null", "lists are lists also when empty")
		if changed {
			out := must.Get(p.Apply(t.Context()))(t)
			assert.NotEmpty(t, out.Done)
			p.Report(out.Return)
		}
		assert.Equal(t, pending, p.Return["pending"], state)
		if state == Drained {
			assert.Equal(t, true, p.Return["drained"])
			assert.Contains(t, p.Return["drained_why"], o.DrainWhy)
		}
	}
	before := must.Get(os.ReadDir(dir))(t)
	must.Get(planBoth(t.Context(), o, host, below))(t)
	assert.Equal(t, len(before), len(must.Get(os.ReadDir(dir))(t)), "planning left a file")

	step(bird.Applied, true, true)
	step(bird.Applied, false, true)
	step(bird.Confirmed, true, false)
	step(bird.Confirmed, false, false)
	step(bird.Undone, false, false)
	step(bird.Applied, false, false)
	assert.Equal(t, string(foreign), string(must.Get(os.ReadFile(o.Path+".orig"))(t)))

	step(Drained, true, true)
	step(Drained, false, true)
	step(bird.Applied, false, true)
	step(bird.Confirmed, true, false)
	step(bird.Applied, false, false) // as it is
	o.DrainWhy = "a new kernel"
	step(Drained, true, true)
	step(bird.Undone, true, false)
	o.DrainWhy = ""
	step(Drained, false, false)
	step(Undrained, true, true)
	step(Drained, true, false) // whoever undrained it was cut off before the confirmation
	step(Drained, false, false)
	step(Undrained, true, true)
	step(bird.Confirmed, true, false)
	step(Undrained, false, false)
	step(Drained, true, true)
	step(Undrained, true, false)
	step(Undrained, false, false)
	step(bird.Applied, false, false)

	const run, other = "upgrade, run 4f2a", "a new disk"
	o.DrainWhy = run
	step(Drained, true, true)
	step(bird.Confirmed, true, false)
	refused := func(why, want string) {
		t.Helper()
		o.State, o.DrainWhy = Drained, why
		_, err := planBoth(t.Context(), o, host, below)
		require.EqualError(t, err, want)
	}
	refused("", "it is drained by another run (upgrade, run 4f2a): wait for it, or give a reason of your own")
	refused("rotate, run beef", "it is drained (upgrade, run 4f2a): leave it out of the run, or undrain it first")
	o.DrainWhy = "upgrade, run beef" // the same command again
	step(Drained, true, true)
	step(bird.Confirmed, true, false)
	step(Undrained, true, true)
	refused("", "it is drained by another run (upgrade, run beef): wait for it, or give a reason of your own")
	step(bird.Undone, true, false)
	o.DrainWhy = other // somebody takes it over
	step(Drained, true, true)
	step(bird.Confirmed, true, false)
	refused(run, "it is drained (a new disk): leave it out of the run, or undrain it first")
	o.DrainWhy = "replace, run cafe" // whatever it is drained for, it goes
	step(Drained, true, true)
	step(bird.Undone, true, false)
	o.DrainWhy, o.Drain = run, new(true)
	step(bird.Applied, false, false)
	o.State, o.Drain = Undrained, nil
	_, err := planBoth(t.Context(), o, host, below)
	require.EqualError(t, err, "it was drained again meanwhile (a new disk): leave it to whoever did that")
	o.DrainWhy = other
	step(Undrained, true, true)
	step(bird.Confirmed, true, false)
	o.DrainWhy = run
	step(Undrained, false, false) // by whomever: it is in use
	o.DrainWhy = ""
	step(bird.Applied, false, false)

	o.HoldTime = 9
	p := must.Get(planBoth(t.Context(), o, host, below))(t)
	assert.Equal(t, []string{"azure_1"}, p.Return["disruptive"])
	step(bird.Applied, true, true)
	step(bird.Undone, true, false)
	o.HoldTime = 30
	step(bird.Applied, false, false)
}

func options() Options {
	var o Options
	o.SetDefaults()
	o.RouterID, o.AS = netip.MustParseAddr("0.0.0.1"), 65010
	o.Neighbors = []plan.Neighbor{{
		Name: "azure_1", Router: "azure-1", Interface: "wg2", AS: 65020,
		Address: netip.MustParseAddr("172.31.2.2"), LocalAddress: netip.MustParseAddr("172.31.2.1"),
	}}
	return o
}

// The floor is there before BIRD knows of it, and what it has too little or too much for a
// change goes with the change when that is kept: until then BIRD may go back.
func TestFloorLaw(t *testing.T) {
	dir := t.TempDir()
	o := options()
	o.Path, o.ControlSocket = filepath.Join(dir, "bird.conf"), filepath.Join(dir, "bird.ctl")
	require.NoError(t, os.WriteFile(o.Path, []byte("router id 9.9.9.9;\nprotocol device {}\n"), 0o640))
	startBird(t, o.Path, o.ControlSocket).Enter(t)

	azure := plan.Owner{AS: 65020, Site: "azure", Networks: must.Prefixes("10.1.0.0/16", "10.1.1.0/24")}
	aws := plan.Owner{AS: 65030, Site: "aws", Networks: must.Prefixes("10.2.0.0/16")}
	o.Owners = []plan.Owner{azure, aws} // and no session with aws yet
	host := o.host(dir + "/")
	step := func(state string, changed bool, refused string) {
		t.Helper()
		o.State = state
		for _, more := range []bool{changed, false} {
			p := must.Get(planBoth(t.Context(), o, host, o.floor(dir+"/", host)))(t)
			require.Equal(t, more, p.Changed, "%s: %s\n%s", state, p.Before, p.After)
			assert.Equal(t, more, p.Before != p.After)
			if more {
				must.Get(p.Apply(t.Context()))(t)
			}
		}
		out := must.Get(exec.CommandContext(t.Context(), "ip", "route", "show", "proto", "157").Output())(t)
		var have []string
		for line := range strings.Lines(string(out)) { // unreachable 10.1.0.0/16 metric ...
			have = append(have, strings.Fields(line)[1])
		}
		assert.Equal(t, refused, strings.Join(have, " "), state)
	}
	step(Floor, true, "10.1.0.0/16")
	step(bird.Applied, true, "10.1.0.0/16")
	step(bird.Confirmed, true, "10.1.0.0/16")

	more := o.Neighbors[0]
	more.Name, more.Router, more.Interface, more.AS = "aws_1", "aws-1", "wg3", 65030
	more.Address, more.LocalAddress = netip.MustParseAddr("172.31.3.2"), netip.MustParseAddr("172.31.3.1")
	former := o.Neighbors
	o.Neighbors = []plan.Neighbor{more}
	step(bird.Applied, true, "10.1.0.0/16") // what BIRD may take back is not refused yet
	step(bird.Undone, true, "10.1.0.0/16")
	o.State, o.Guard = bird.Applied, 60
	p := must.Get(planBoth(t.Context(), o, host, o.floor(dir+"/", host)))(t)
	assert.Contains(t, p.After, "refused when BIRD has no way: 10.2.0.0/16", "the guard takes it back")
	o.Guard = 0
	step(bird.Applied, true, "10.1.0.0/16")
	step(bird.Confirmed, true, "10.2.0.0/16")

	// The confirmation needs no other option, also of a drain in the middle of the change.
	wanted := o
	alone := func(refused string) {
		t.Helper()
		o.Config = bird.Config{}
		o.Config.SetDefaults()
		step(bird.Confirmed, true, refused)
		o = wanted
		step(bird.Applied, false, refused)
	}
	o.Neighbors = former
	wanted = o
	step(bird.Applied, true, "10.2.0.0/16")
	alone("10.1.0.0/16")
	o.Neighbors = []plan.Neighbor{more}
	wanted = o
	step(bird.Applied, true, "10.1.0.0/16")
	step(Drained, true, "10.1.0.0/16")
	alone("10.2.0.0/16")

	// One that ends before its last step is done by the next.
	o.Neighbors = append(former, more)
	step(bird.Applied, true, "10.2.0.0/16")
	have := must.Get(host.Observe(t.Context()))(t)
	delta := must.Get(bird.Diff(bird.Want{State: bird.Confirmed}, have))(t)
	must.Get(host.Apply(t.Context(), delta[:len(delta)-1]))(t)
	step(bird.Confirmed, true, "10.1.0.0/16 10.2.0.0/16")
	step(Floor, false, "10.1.0.0/16 10.2.0.0/16")

	// A change of the floor alone, while BIRD's waits.
	o.Neighbors = former
	step(bird.Applied, true, "10.1.0.0/16 10.2.0.0/16")
	o.Unreachable = false
	step(bird.Applied, true, "10.1.0.0/16 10.2.0.0/16")
	step(bird.Confirmed, true, "")
	o.Unreachable = true
	step(Floor, true, "10.1.0.0/16")

	o.Neighbors, o.Timeout = append(former, more), 0
	step(bird.Applied, true, "10.1.0.0/16 10.2.0.0/16")
	o.Neighbors = former
	step(bird.Applied, true, "10.1.0.0/16")
	o.Unreachable = false
	step(Floor, false, "10.1.0.0/16")
	step(bird.Applied, true, "")
	assert.NoFileExists(t, dir+"/etc/wgmesh/floor")

	// The rule to ways of the router's own is there before these are, and stays until they are gone for good.
	nettest.Sh(t, "ip link add up0 type bridge; ip link set up0 up; "+
		"ip addr add 203.0.113.2/24 dev up0; ip route add default via 203.0.113.1")
	static := o.Static
	o.Static = append(slices.Clone(static), plan.Static{Network: netip.MustParsePrefix("10.1.7.7/32"), Outside: true})
	o.Timeout = 60
	for _, state := range []string{Floor, bird.Applied, bird.Confirmed} {
		step(state, true, "")
		assert.Contains(t, nettest.Sh(t, "ip rule"), "from all iif lo lookup 157157")
	}
	// A rule that somebody took away is mended by the next run, which shows it.
	nettest.Sh(t, "ip rule del table 157157")
	o.State = Floor
	p = must.Get(planBoth(t.Context(), o, host, o.floor(dir+"/", host)))(t)
	assert.NotContains(t, p.Before, "a rule for the router's own packets: 0.0.0.0/0")
	assert.Contains(t, p.After, "a rule for the router's own packets: 0.0.0.0/0")
	assert.NotContains(t, nettest.Sh(t, "ip rule"), "157157", "nothing is done yet")
	step(Floor, true, "")
	assert.Contains(t, nettest.Sh(t, "ip rule"), "157157")

	o.Static = static
	step(bird.Applied, true, "")
	assert.Contains(t, nettest.Sh(t, "ip rule"), "157157")
	step(bird.Confirmed, true, "")
	assert.NotContains(t, nettest.Sh(t, "ip rule"), "157157")
	assert.NoFileExists(t, dir+"/etc/wgmesh/floor")
}

// Without systemd check mode says that BIRD will not be started.
func TestRehearseStart(t *testing.T) {
	o, dir := options(), t.TempDir()
	o.Path, o.ControlSocket = filepath.Join(dir, "bird.conf"), filepath.Join(dir, "bird.ctl")
	for _, service := range []string{"bird", ""} {
		o.Service = service
		host := o.host(dir + "/")
		p := must.Get(planBoth(t.Context(), o, host, o.floor(dir+"/", host)))(t)
		require.True(t, p.Changed)
		assert.Equal(t, service != "", p.Rehearse != nil)
		if p.Rehearse != nil {
			assert.Contains(t, p.Rehearse(t.Context())[0], "without systemd it cannot be started here")
		}
	}
}

// BIRD takes the configuration of every router of every mesh that pkg/mesh has as a golden file.
func TestPlansOfTheMesh(t *testing.T) {
	files := must.Get(filepath.Glob("../../pkg/mesh/testdata/*/*.json"))(t)
	checked := 0
	for _, file := range files {
		raw := must.Get(os.ReadFile(file))(t)
		var plan struct{ Bird json.RawMessage }
		require.NoError(t, json.Unmarshal(raw, &plan))
		if plan.Bird == nil {
			continue
		}
		var o Options
		require.NoError(t, ansible.Decode(plan.Bird, &o), file)
		c, src, _, err := bird.Resolve(o.Config, bird.Network{Default4: "eth0", Default6: "eth0"})
		require.NoError(t, err, file)
		text := bird.Render(c, src)
		assert.NoError(t, bird.Check(t.Context(), text), file)
		checked++
	}
	require.Positive(t, checked)
	t.Logf("%d configurations", checked)
}
