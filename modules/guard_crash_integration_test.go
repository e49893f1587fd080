//go:build integration

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// A trial is a change under the guard, on a host of its own.
type trial struct {
	crash
	state func() string // all that the change touches, on the disk and live
}

// TestGuardCrash kills a guarded change, its way back and its confirmation at one system call after
// another. At every point the router is whole: as before, or, once confirmed, as after.
func TestGuardCrash(t *testing.T) {
	nettest.Need(t, "strace", "setsid", "wg", "wg-quick", "bird", "birdc")
	binary, ns := nettest.Wgmesh(t, "modules"), nettest.New(t, "guard")
	for what, prepare := range map[string]func(*testing.T, host) trial{
		"tunnel": tunnelTrial, "BIRD": birdTrial, "key": keyTrial,
	} {
		t.Run(what, func(t *testing.T) {
			c := prepare(t, newHost(t, binary, ns))
			c.options["guard"], c.alone = 600, true
			t.Run("armed", c.armed)
			t.Run("undone", c.undone)
			t.Run("confirmed", c.confirmed)
		})
	}
}

// TestSecondRun gives a run while the change of one that was cut off still waits. Its own
// text is the one that is kept, and BIRD waits for it no less than the guard does.
func TestSecondRun(t *testing.T) {
	nettest.Need(t, "setsid", "bird", "birdc")
	binary, ns := nettest.Wgmesh(t, "modules"), nettest.New(t, "second")
	for name, id := range map[string]string{"as it was": "0.0.0.2", "corrected": "0.0.0.3"} {
		t.Run(name, func(t *testing.T) {
			c := birdTrial(t, newHost(t, binary, ns))
			c.before()
			c.options["guard"], c.options["timeout"] = 30, 30
			c.call(t, c.module, c.options)
			c.options["guard"], c.options["timeout"], c.options["router_id"] = 600, 600, id
			again := c.call(t, c.module, c.options)
			assert.Equal(t, true, again["pending"])
			socket := c.options["control_socket"].(string)
			assert.Regexp(t, `undo in 5\d\d`, c.shell(t, "birdc -s "+socket+" configure status"))
			c.call(t, "mesh_guard", map[string]any{"state": "confirmed"})
			assert.Contains(t, c.state(), "Router ID is "+id)
			c.options["guard"] = 0
			assert.Equal(t, false, c.call(t, c.module, c.options)["changed"],
				"it runs another text than is on the disk")
		})
	}
}

// tunnelTrial changes a tunnel that is up.
func tunnelTrial(t *testing.T, h host) trial {
	c := crashTunnel(t, h)
	name := c.options["interface_prefix"].(string)
	return trial{crash: c, state: func() string {
		return c.shell(t,
			"wg show "+name+" | grep -v transfer; ip -4 -o addr show "+name+
				" | cut -d' ' -f2-; ip link show "+name+" | grep -o 'mtu [0-9]*'; cat "+c.dir+"/*")
	}}
}

// birdTrial changes the configuration of a BIRD that runs.
func birdTrial(t *testing.T, h host) trial {
	c := crashBird(t, h)
	socket := c.options["control_socket"].(string)
	return trial{crash: c, state: func() string {
		return c.shell(t,
			"birdc -s "+socket+" show status | grep 'Router ID'; birdc -s "+socket+
				" configure status | grep -c unconfirmed; cat "+c.options["path"].(string))
	}}
}

// keyTrial makes new keys in the place of others.
func keyTrial(t *testing.T, h host) trial {
	c := crashKeypair(t, h)
	before := maps.Clone(c.options)
	c.before = func() {
		if _, err := os.Stat(c.dir); err != nil {
			h.call(t, c.module, before)
		}
	}
	c.options["regenerate"] = "always"
	return trial{crash: c, state: func() string {
		return c.shell(t, "cd "+c.dir+"; sha256sum me.*; stat -c '%n %a %Y' me.*")
	}}
}

// shell runs on the host, where there is nothing to say about what is missing.
func (h host) shell(t *testing.T, script string) string {
	t.Helper()
	out, _ := h.command(t.Context(), "sh", "-c", script).Output()
	return string(out)
}

func (c trial) undo(t *testing.T) {
	t.Helper()
	must.Run(t, c.command(t.Context(), c.binary, "undo"))
}

// waits reports whether a change waits.
func (c trial) waits() bool {
	_, err := os.Stat(filepath.Join(c.root, "wireguard/wgmesh-undo/journal.json"))
	return err == nil
}

// clean wants nothing left of a change that is settled.
func (c trial) clean(t *testing.T, place string) {
	t.Helper()
	for _, pattern := range []string{"wireguard/wgmesh-undo", "units/wgmesh*", "units/*/wgmesh*"} {
		left := must.Get(filepath.Glob(filepath.Join(c.root, pattern)))(t)
		assert.Empty(t, left, place)
	}
}

// points kills what args say at one call after another, each time from where start
// leads, and has look judge what is left.
func (c trial) points(t *testing.T, start func(), look func(place string)) {
	t.Helper()
	points := 0
	for n, past := 1, 0; past < 3 && !t.Failed(); n++ {
		start()
		trace, killed := c.kill(t, n)
		if !killed {
			past++
		} else {
			past = 0
			points++
		}
		look(fmt.Sprintf("killed (%t) at call %d of a thread: %s", killed, n, trace))
	}
	require.NotZero(t, points, "nothing was ever killed")
	t.Logf("killed at %d points", points)
}

func (c trial) armed(t *testing.T) {
	var old string
	c.points(t, func() {
		c.before()
		old = c.state()
	}, func(place string) {
		c.undo(t)
		assert.True(t, old == c.state(), "not as before: %s", place) // without what is in it
		assert.False(t, c.waits(), place)
	})
}

func (c trial) undone(t *testing.T) {
	var old string
	change := c.crash
	c.module, c.options = "undo", map[string]any{}
	c.points(t, func() {
		c.before()
		old = c.state()
		change.call(t, change.module, change.options)
		assert.False(t, old == c.state(), "the change changed nothing")
	}, func(place string) {
		c.undo(t)
		assert.True(t, old == c.state(), "not as before: %s", place)
		assert.False(t, c.waits(), place)
	})
	c.clean(t, "after the last")
}

func (c trial) confirmed(t *testing.T) {
	var old, tried string
	change := c.crash
	confirm := map[string]any{"state": "confirmed"}
	c.module, c.options = "mesh_guard", confirm
	again := false
	c.points(t, func() {
		c.before()
		old = c.state()
		change.call(t, change.module, change.options)
		tried = c.state()
	}, func(place string) {
		waits := c.waits()
		again = !again
		if waits && !again {
			c.undo(t)
			assert.True(t, old == c.state(), "not as before: %s", place)
			return
		}
		if waits {
			c.call(t, "mesh_guard", confirm)
		}
		assert.False(t, c.waits(), place)
		assert.False(t, old == c.state(), "as before, though confirmed: %s", place)
		if change.module != "bird_config" {
			assert.True(t, tried == c.state(), "not as tried: %s", place)
		}
		assert.Equal(t, false, c.call(t, "mesh_guard", confirm)["changed"], place)
	})
}

// waiting is the program that stands for systemd-run: it starts the process that
// waits, and tells its number.
const waiting = `#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
setsid "$@" > /dev/null 2>&1 < /dev/null &
echo $! >> "$(dirname "$0")/waiting"
`

// endWaiting ends the processes that wait for changes of this host.
func (h host) endWaiting() {
	raw, _ := os.ReadFile(filepath.Join(h.root, "tools/waiting"))
	for _, pid := range strings.Fields(string(raw)) {
		_ = exec.CommandContext(context.Background(), "kill", pid).Run()
	}
}
