//go:build integration

package bird_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

// A guarded is one BIRD under the protocol that this package follows.
type guarded struct {
	namespace
	host bird.Host
	cmd  *exec.Cmd
}

// newGuarded runs BIRD with text number 1 on disk.
func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{namespace: newNamespace(t, "guard")}
	g.host = bird.Host{Path: g.conf(), Socket: g.socket(), Run: filepath.Join(g.dir, "run")}
	require.NoError(t, os.WriteFile(g.conf(), number(t, 1), 0o640))
	g.cmd = g.start(t)
	return g
}

// number renders a configuration that differs from the others in one thing.
func number(t *testing.T, n int) []byte {
	t.Helper()
	var c bird.Config
	c.SetDefaults()
	c.RouterID, c.AS, c.HoldTime = address("0.0.0.1"), 65001, 30+n
	c.Neighbors = []plan.Neighbor{
		{Name: "p1", Interface: "wg1", Address: address("172.31.1.2"), LocalAddress: address("172.31.1.1"), AS: 65002},
	}
	require.NoError(t, c.Validate())
	text := bird.Render(c, bird.Sources{})
	return text
}

// apply does what one run of the module does.
func (g *guarded) apply(t *testing.T, want bird.Want) ([]string, error) {
	t.Helper()
	d, err := bird.Diff(want, must.Get(g.host.Observe(t.Context()))(t))
	if err != nil {
		return nil, err
	}
	return g.host.Apply(t.Context(), d)
}

// does is apply, which must work.
func (g *guarded) does(t *testing.T, want bird.Want) []string {
	t.Helper()
	return must.Get(g.apply(t, want))(t)
}

func (g *guarded) try(t *testing.T, text []byte, timeout int) {
	t.Helper()
	require.NotEmpty(t, g.does(t, bird.Want{State: bird.Applied, Text: text, Timeout: timeout}))
}

func (g *guarded) state(t *testing.T, state string) error {
	t.Helper()
	_, err := g.apply(t, bird.Want{State: state})
	return err
}

// comesBack waits until BIRD runs text number 1 again.
func (g *guarded) comesBack(t *testing.T) {
	t.Helper()
	nettest.Eventually(t, "the text before", func() string {
		if g.runs(t) == bird.StampOf(number(t, 1)) {
			return ""
		}
		return "still tries"
	})
}

// runs and disk name the texts that BIRD runs and would boot with.
func (g *guarded) runs(t *testing.T) bird.Stamp {
	t.Helper()
	return must.Get(bird.ObserveDaemon(t.Context(), g.socket()))(t).Runs
}

func (g *guarded) disk(t *testing.T) bird.Stamp {
	t.Helper()
	return bird.StampOf(must.Get(os.ReadFile(g.conf()))(t))
}

// good wants the copy to be this text, and readable for whom bird.conf is.
func (g *guarded) good(t *testing.T, n int) {
	t.Helper()
	text := must.Get(os.ReadFile(g.conf() + ".good"))(t)
	assert.Equal(t, bird.StampOf(number(t, n)), bird.StampOf(text), "the copy is another text")
	info := must.Get(os.Stat(g.conf() + ".good"))(t)
	assert.Equal(t, os.FileMode(0o640), info.Mode())
}

func (g *guarded) marker() string {
	return filepath.Join(g.host.Run, "bird"+strings.ReplaceAll(g.conf(), "/", "-")+".json")
}

func (g *guarded) want(t *testing.T, runs, disk int) {
	t.Helper()
	assert.Equal(t, bird.StampOf(number(t, runs)), g.runs(t), "BIRD runs another text")
	assert.Equal(t, bird.StampOf(number(t, disk)), g.disk(t), "the disk has another text")
}

func (g *guarded) files(t *testing.T) []string {
	t.Helper()
	found := must.Get(filepath.Glob(filepath.Join(g.dir, "bird.conf*")))(t)
	run := must.Get(filepath.Glob(filepath.Join(g.dir, "run", "*")))(t)
	var names []string
	for _, f := range append(found, run...) {
		names = append(names, filepath.Base(f))
	}
	return names
}

// pid is that of BIRD itself: "ip netns exec" becomes it.
func (g *guarded) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, g.cmd.Process.Signal(s))
}

func TestConfirmedChangeStays(t *testing.T) {
	g := newGuarded(t)
	g.try(t, number(t, 2), 60)
	g.want(t, 2, 1)
	assert.Len(t, g.does(t, bird.Want{State: bird.Confirmed}), 2)
	g.want(t, 2, 2)
	assert.Equal(t, []string{"bird.conf"}, g.files(t), "nothing is left behind")
	for _, again := range []bird.Want{
		{State: bird.Confirmed}, {State: bird.Undone}, {State: bird.Applied, Text: number(t, 2), Timeout: 60},
	} {
		assert.Empty(t, g.does(t, again), again.State)
	}
	// Kept at once, without a guard.
	g.does(t, bird.Want{State: bird.Applied, Text: number(t, 3)})
	g.want(t, 3, 3)
	assert.Equal(t, []string{"bird.conf"}, g.files(t))
}

// T1: nobody comes back. BIRD undoes it, and the file was never touched.
// T8: the confirmation comes too late and must not look like one.
func TestT1T8UnconfirmedChangeIsUndone(t *testing.T) {
	g := newGuarded(t)
	before := must.Get(os.Stat(g.conf()))(t)
	g.try(t, number(t, 2), 12) // more than it takes to look
	g.want(t, 2, 1)
	g.comesBack(t)
	after := must.Get(os.Stat(g.conf()))(t)
	assert.True(t, os.SameFile(before, after) && before.ModTime().Equal(after.ModTime()))

	for range 2 {
		require.ErrorIs(t, g.state(t, bird.Confirmed), bird.ErrTakenBack)
	}
	g.try(t, number(t, 2), 60)
	require.NoError(t, g.state(t, bird.Confirmed))
	g.want(t, 2, 2)
}

// T2, T3: a text that BIRD refuses is refused before anything is touched, and
// also inside the window leaves the undo alone.
func TestT2T3SyntaxError(t *testing.T) {
	g := newGuarded(t)
	bad := append(number(t, 4), "protocol nonsense {\n"...)
	_, err := g.apply(t, bird.Want{State: bird.Applied, Text: bad, Timeout: 60})
	require.ErrorContains(t, err, "BIRD refuses the configuration")
	g.want(t, 1, 1)
	assert.Equal(t, []string{"bird.conf"}, g.files(t))

	g.try(t, number(t, 2), 60)
	_, err = g.apply(t, bird.Want{State: bird.Applied, Text: bad, Timeout: 60})
	require.ErrorContains(t, err, "BIRD refuses the configuration")
	g.want(t, 1, 1)
	assert.Equal(t, []string{"bird.conf"}, g.files(t))
}

// T4, T7: a reload reads the file on disk, which is the confirmed one, both
// inside the window and after the confirmation.
func TestT4T7Reload(t *testing.T) {
	g := newGuarded(t)
	g.try(t, number(t, 2), 60)
	g.signal(t, syscall.SIGHUP)
	g.comesBack(t)
	g.want(t, 1, 1)
	require.ErrorIs(t, g.state(t, bird.Confirmed), bird.ErrTakenBack)

	g.try(t, number(t, 3), 60)
	require.NoError(t, g.state(t, bird.Confirmed))
	last := func() string {
		_, when, _ := strings.Cut(nettest.Run(t, "birdc", "-s", g.socket(), "show", "status"),
			"Last reconfiguration on ")
		return when
	}
	before := last()
	time.Sleep(time.Second) // BIRD may say no more than the second
	g.signal(t, syscall.SIGHUP)
	nettest.Eventually(t, "read again", func() string {
		if last() != before {
			return ""
		}
		return before
	})
	g.want(t, 3, 3)
}

// T5: a second change inside the window takes the place of the first, so the known-good
// one is never lost; the same one again is not a change.
func TestT5SecondRun(t *testing.T) {
	g := newGuarded(t)
	g.try(t, number(t, 2), 60)
	assert.Empty(t, g.does(t, bird.Want{State: bird.Applied, Text: number(t, 2), Timeout: 60}))
	g.try(t, number(t, 3), 60)
	g.want(t, 3, 1)
	require.NoError(t, g.state(t, bird.Undone))
	g.want(t, 1, 1)
	assert.Equal(t, []string{"bird.conf"}, g.files(t))

	// The one that is confirmed is the second. It is kept at once, too.
	g.try(t, number(t, 2), 60)
	g.try(t, number(t, 3), 60)
	require.NoError(t, g.state(t, bird.Confirmed))
	g.want(t, 3, 3)
	g.try(t, number(t, 2), 60)
	g.try(t, number(t, 1), 0)
	g.want(t, 1, 1)
	assert.Equal(t, []string{"bird.conf"}, g.files(t))

	// Someone else's change is neither confirmed nor undone for them.
	other := filepath.Join(g.dir, "other.conf")
	require.NoError(t, os.WriteFile(other, number(t, 5), 0o644))
	g.birdc(t, fmt.Sprintf("configure %q timeout 60", other))
	for _, state := range []string{bird.Applied, bird.Confirmed, bird.Undone} {
		require.ErrorIs(t, g.state(t, state), bird.ErrPending, state)
	}
}

// A run under a guard that had its time anew has BIRD's time begin anew with it: the
// change outlives the first time, can be confirmed after it, and is still taken back to
// the known-good one.
func TestRenewed(t *testing.T) {
	for name, n := range map[string]int{"the same text": 2, "another text": 3} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			g := newGuarded(t)
			limit := max(8*time.Second, 10*time.Since(began)).Round(time.Second)
			seconds := int(limit.Seconds())
			again := bird.Want{State: bird.Applied, Text: number(t, n), Timeout: 8 * seconds, Renew: true}
			g.try(t, number(t, 2), seconds)
			first := time.Now().Add(limit)
			require.NotEmpty(t, g.does(t, again))
			time.Sleep(time.Until(first) + time.Second)
			g.want(t, n, 1)
			require.NoError(t, g.state(t, bird.Confirmed))
			g.want(t, n, n)

			g.try(t, number(t, 1), 60)
			again.Text, again.Timeout = number(t, 1), 1
			require.NotEmpty(t, g.does(t, again))
			nettest.Eventually(t, "the text that was confirmed", func() string {
				if g.runs(t) == bird.StampOf(number(t, n)) {
					return ""
				}
				return "still tries"
			})
		})
	}
}

// T6: the daemon dies inside the window and boots what was confirmed last.
func TestT6CrashInWindow(t *testing.T) {
	g := newGuarded(t)
	g.try(t, number(t, 2), 60)
	g.signal(t, syscall.SIGKILL)
	_ = g.cmd.Wait()
	require.ErrorContains(t, g.state(t, bird.Confirmed), "BIRD does not run")
	g.start(t)
	g.want(t, 1, 1)
	require.ErrorIs(t, g.state(t, bird.Confirmed), bird.ErrTakenBack)
	require.NoError(t, g.state(t, bird.Undone))
	assert.Equal(t, []string{"bird.conf"}, g.files(t))
}

// A run that is cut off after any of its steps leaves a state from which the
// next run reaches the same end.
func TestCutOff(t *testing.T) {
	for name, cut := range map[string]func(t *testing.T, g *guarded){
		"candidate written": func(t *testing.T, g *guarded) {
			require.NoError(t, os.WriteFile(g.conf()+".cand-half", number(t, 2)[:50], 0o640))
		},
		"marker written": func(t *testing.T, g *guarded) {
			require.NoError(t, os.Mkdir(g.host.Run, 0o755))
			must.Write(t, g.marker(),
				fmt.Sprintf(`{"candidate":%q,"stamp":%q}`, g.conf()+".cand-x", bird.StampOf(number(t, 2))), 0o600)
		},
		"marker torn": func(t *testing.T, g *guarded) {
			require.NoError(t, os.Mkdir(g.host.Run, 0o755))
			require.NoError(t, os.WriteFile(g.marker(), []byte(`{"cand`), 0o600))
		},
		"tried": func(t *testing.T, g *guarded) { g.try(t, number(t, 2), 60) },
		"confirmed, not renamed": func(t *testing.T, g *guarded) {
			g.try(t, number(t, 2), 60)
			g.birdc(t, "configure confirm")
		},
		"renamed": func(t *testing.T, g *guarded) {
			g.try(t, number(t, 2), 60)
			g.birdc(t, "configure confirm")
			require.NoError(t, os.WriteFile(g.conf(), number(t, 2), 0o640))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			cut(t, g)
			g.does(t, bird.Want{State: bird.Applied, Text: number(t, 2), Timeout: 60})
			require.NoError(t, g.state(t, bird.Confirmed))
			g.want(t, 2, 2)
			assert.Equal(t, []string{"bird.conf"}, g.files(t))
		})
	}
	for then, left := range map[string]int{bird.Confirmed: 2, bird.Undone: 1} {
		t.Run("confirmed, not renamed, then "+then, func(t *testing.T) {
			g := newGuarded(t)
			g.try(t, number(t, 2), 60)
			g.birdc(t, "configure confirm")
			require.NoError(t, g.state(t, then))
			g.want(t, left, left)
		})
	}
}

// What someone does by hand is noticed and mended, and the distribution's own file is kept once.
func TestMends(t *testing.T) {
	g := newGuarded(t)
	apply := func(n int) {
		g.does(t, bird.Want{State: bird.Applied, Text: number(t, n)})
		g.want(t, n, n)
		require.Empty(t, g.does(t, bird.Want{State: bird.Applied, Text: number(t, n)}))
	}
	t.Run("file changed, daemon never reloaded", func(t *testing.T) {
		require.NoError(t, os.WriteFile(g.conf(), number(t, 2), 0o640))
		apply(2)
	})
	t.Run("file changed and loaded", func(t *testing.T) {
		require.NoError(t, os.WriteFile(g.conf(), append(number(t, 2), "protocol static extra { ipv4; }\n"...), 0o640))
		g.birdc(t, "configure")
		require.Contains(t, g.birdc(t, "show protocols"), "extra")
		apply(2)
		assert.NotContains(t, g.birdc(t, "show protocols"), "extra")
	})
	t.Run("session disabled", func(t *testing.T) {
		g.birdc(t, "disable p1")
		assert.Equal(t, []string{"enabled p1"}, g.does(t, bird.Want{State: bird.Applied, Text: number(t, 2)}))
		apply(2)
	})
	t.Run("another program's file", func(t *testing.T) {
		foreign := []byte("log syslog all;\nrouter id 9.9.9.9;\nprotocol device {}\n")
		for range 2 {
			require.NoError(t, os.WriteFile(g.conf(), foreign, 0o640))
			g.birdc(t, "configure")
			apply(2)
			assert.Equal(t, string(foreign), string(must.Get(os.ReadFile(g.conf()+".orig"))(t)))
			foreign2 := bytes.Replace(foreign, []byte("9.9.9.9"), []byte("8.8.8.8"), 1)
			require.NoError(t, os.WriteFile(g.conf(), foreign2, 0o640))
			apply(2)
		}
	})
}

// A session that is down because another program listens on TCP 179 is left alone, or
// every run would change something. When the port is free, the next run enables it.
func TestPortTaken(t *testing.T) {
	g := newGuarded(t)
	var thief net.Listener
	require.NoError(t, g.Inside(func() (err error) {
		thief, err = net.Listen("tcp4", ":179")
		return err
	}))
	g.IP(t, "link", "add", "wg1", "type", "veth", "peer", "name", "far")
	g.IP(t, "addr", "add", "172.31.1.1/24", "dev", "wg1")
	g.IP(t, "link", "set", "wg1", "up")
	g.IP(t, "link", "set", "far", "up")
	nettest.Eventually(t, "BIRD finds no socket", func() string {
		if table := g.birdc(t, "show protocols"); !strings.Contains(table, "No listening socket") {
			return table
		}
		return ""
	})
	run := func() (done []string) {
		require.NoError(t, g.Inside(func() error {
			have, err := g.host.Observe(t.Context())
			if err != nil {
				return err
			}
			d, err := bird.Diff(bird.Want{State: bird.Applied, Text: number(t, 1)}, have)
			if err == nil {
				done, err = g.host.Apply(t.Context(), d)
			}
			return err
		}))
		return done
	}
	assert.Empty(t, run())
	require.NoError(t, thief.Close())
	assert.Equal(t, []string{"enabled p1"}, run())
	assert.Empty(t, run())
}

// Without a daemon the file is written and the service is started; BIRD's own
// parser has the last word before.
func TestStart(t *testing.T) {
	g := &guarded{namespace: newNamespace(t, "start")}
	var ran []string
	g.host = bird.Host{
		Path: g.conf(), Socket: g.socket(), Run: filepath.Join(g.dir, "run"),
		Service: "bird", Units: g.dir, Systemd: true,
		Command: func(_ context.Context, name string, args ...string) (string, error) {
			if args[0] != "show" {
				ran = append(ran, name+" "+strings.Join(args, " "))
			}
			if args[0] == "start" {
				g.cmd = g.start(t)
			}
			return "", nil
		},
	}
	want := bird.Want{State: bird.Applied, Text: number(t, 1), Timeout: 60, Unit: g.host.Unit(), Start: true}
	g.does(t, want)
	g.want(t, 1, 1)
	assert.Equal(t, []string{"systemctl daemon-reload", "systemctl start bird"}, ran)
	for name, want := range map[string]string{
		"50-wgmesh.conf": g.host.Unit().DropIn, "50-wgmesh.sh": g.host.Unit().Script,
	} {
		have := must.Get(os.ReadFile(filepath.Join(g.dir, "bird.service.d", name)))(t)
		assert.Equal(t, want, string(have), name)
	}
	g.good(t, 1)
	assert.Empty(t, g.does(t, want))

	// The copy follows a change when it is confirmed, and not before.
	g.try(t, number(t, 2), 60)
	g.good(t, 1)
	require.NoError(t, g.state(t, bird.Confirmed))
	g.good(t, 2)
	require.NoError(t, os.Remove(g.conf()+".good"))
	want.Text = number(t, 2)
	for _, steps := range []int{1, 0} {
		assert.Len(t, g.does(t, want), steps)
		g.good(t, 2)
	}
	want.Text = number(t, 1)
	g.does(t, bird.Want{State: bird.Applied, Text: number(t, 1), Unit: want.Unit})
	g.good(t, 1) // at once, without a guard

	g.host.Systemd = false
	g.signal(t, syscall.SIGKILL)
	_ = g.cmd.Wait()
	assert.ErrorContains(t, must.Err(g.apply(t, want)), "without systemd")
}
