//go:build integration

package bird_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/sysctl"
)

// deafen makes the two ends of a tunnel send to a wrong hardware address:
// the interfaces stay up, and no packet arrives.
func (l *lab) deafen(t *testing.T, a, b string, deaf bool) {
	t.Helper()
	n := link(l.byName[a], l.byName[b])
	for _, r := range []*router{l.byName[a], l.byName[b]} {
		for host := 1; host <= 2; host++ {
			peer := fmt.Sprintf("172.31.%d.%d", n, host)
			if strings.Contains(r.IP(t, "addr", "show", "dev", fmt.Sprintf("wg%d", n)), peer+"/") {
				continue
			}
			if deaf {
				r.IP(t, "neigh", "replace", peer, "lladdr", "02:00:00:00:00:01", "dev",
					fmt.Sprintf("wg%d", n), "nud", "permanent")
			} else {
				r.IP(t, "neigh", "del", peer, "dev", fmt.Sprintf("wg%d", n))
			}
		}
	}
}

// A path that loses everything while its interfaces stay up is left in the
// time that BFD is set to, and used again soon after it is mended.
func TestSilentLoss(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "p2", site: 1, zone: 2}, &router{
		label: "q1", site: 2, zone: 1,
	})
	l.quickBFD()
	l.start(t)
	nettest.Eventually(t, "BFD", func() string {
		if table := l.byName["p1"].birdc(t, "show bfd sessions"); strings.Count(table, " Up ") != 2 {
			return table
		}
		return ""
	})
	l.expect(t, map[string]string{"p1 10.2.1.0/24": "q1"})

	l.deafen(t, "p1", "q1", true)
	gap := nettest.Eventually(t, "another way", func() string {
		if via := l.via(t, l.byName["p1"], "10.2.1.0/24"); via != "p2" {
			return "goes by " + via
		}
		return ""
	})
	l.deafen(t, "p1", "q1", false)
	// Not the hold timer, which is all that is left without BFD.
	hold := time.Duration(l.byName["p1"].config.HoldTime) * time.Second
	assert.Less(t, gap, hold/2, "BFD did not notice")
	// With a device scan every 10 s it takes 4.6 to 4.8 s, on a quiet machine.
	back := nettest.Eventually(t, "the direct way again", func() string {
		if via := l.via(t, l.byName["p1"], "10.2.1.0/24"); via != "q1" {
			return "goes by " + via
		}
		return ""
	})
	t.Logf("left a silent path after %s (BFD 5 x 100 ms), was back %s after it was mended",
		gap.Round(time.Millisecond), back.Round(time.Millisecond))
}

// An interface that is made anew is found by the session without help.
func TestInterfaceMadeAnew(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	l.start(t)
	l.byName["p1"].IP(t, "link", "del", "wg1")
	l.expect(t, map[string]string{"p1 10.2.1.0/24": ""})
	p1, q1 := *l.byName["p1"], *l.byName["q1"]
	l.join(t, &p1, &q1)
	took := nettest.Eventually(t, "session", func() string {
		if via := l.via(t, l.byName["p1"], "10.2.1.0/24"); via != "q1" {
			return "goes by " + via
		}
		return ""
	})
	t.Logf("session and routes were back after %s", took.Round(10*time.Millisecond))
}

// What Disrupts foretells is what BIRD does.
func TestDisruptsIsTrue(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	p1 := l.byName["p1"]
	must.Write(t, p1.conf(), strings.ReplaceAll(string(p1.text(t)), "bfd graceful;", "bfd on;"), 0o644) // of before
	l.start(t)
	const aside = 500 * time.Millisecond // of a session that was up before
	since := func() string {
		for line := range strings.Lines(p1.birdc(t, "show protocols q1")) {
			if strings.HasPrefix(line, "q1 ") && strings.Contains(line, "Established") {
				return strings.Fields(line)[4]
			}
		}
		return ""
	}
	// BIRD takes the time of day from how long ago something was, each time anew: on a busy machine
	// the same moment may be 50 ms later. So a session that was up before is never up since later,
	// in the best of some looks, and one that began anew is, in all of them.
	same := func(before, after string) bool {
		a, _ := time.Parse("15:04:05.999", before)
		b, err := time.Parse("15:04:05.999", after)
		later := (b.Sub(a) + 36*time.Hour) % (24 * time.Hour) // past midnight, too
		return err == nil && later-12*time.Hour < aside/2
	}
	for _, tt := range []struct {
		name   string
		change func(c *bird.Config)
	}{
		{"nothing", func(*bird.Config) {}},
		{"drain", func(c *bird.Config) { c.Drain = drain }},
		{"transit", func(c *bird.Config) { c.Transit = false }},
		{"owners", func(c *bird.Config) { c.Owners = c.Owners[:3] }},
		{"import limit", func(c *bird.Config) { c.Neighbors[0].ImportLimit = 99 }},
		{"bfd interval", func(c *bird.Config) { c.BFD.Interval = 400 }},
		{"med", func(c *bird.Config) { c.Originate[0].MED = 77 }},
		{"another neighbor", func(c *bird.Config) {
			c.Neighbors = append(c.Neighbors, plan.Neighbor{
				Name: "o1", Interface: "wg9", AS: 65003, Address: address("172.31.9.2"),
				LocalAddress: address("172.31.9.1"),
			})
		}},
		{"a neighbor within the site", func(c *bird.Config) { c.Neighbors[1].AS = c.AS }},
		{"a neighbor less", func(c *bird.Config) { c.Neighbors = c.Neighbors[:1] }},
		{"hold time", func(c *bird.Config) { c.HoldTime = 40 }},
		{"no IPv6", func(c *bird.Config) {
			c.Neighbors[0].Address6, c.Neighbors[0].LocalAddress6 = address("::"), address("::")
		}},
		{"router id", func(c *bird.Config) { c.RouterID = address("0.0.0.9") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before string
			nettest.Eventually(t, "established", func() string {
				if before = since(); before == "" {
					return p1.birdc(t, "show protocols q1")
				}
				return ""
			})
			old := must.Get(os.ReadFile(p1.conf()))(t)
			tt.change(&p1.config)
			if n := &p1.config.Neighbors[0]; n.Address6.IsUnspecified() {
				n.Address6, n.LocalAddress6 = plan.Neighbor{}.Address6, plan.Neighbor{}.Address6
			}
			time.Sleep(aside)
			l.configure(t, p1)
			disrupts := slices.Contains(bird.Disrupts(old, p1.text(t)), "q1")
			time.Sleep(200 * time.Millisecond) // which it may use to do what it should not
			nettest.Eventually(t, fmt.Sprintf("session restarted: %v", disrupts), func() string {
				if after := since(); same(before, after) == disrupts {
					return fmt.Sprintf("it was up since %s before, and since %q after", before, after)
				}
				return ""
			})
		})
	}
}

// A path that carries nothing for a while, on a link that stays up: the session is back
// within seconds.
func TestSessionComesBack(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "q1", site: 2, zone: 1})
	l.quickBFD()
	l.start(t)
	p1 := l.byName["p1"]
	gone := func() {
		nettest.Eventually(t, "the session is down", func() string {
			if out := p1.birdc(t, "show protocols q1"); !strings.Contains(out, "Established") {
				return ""
			}
			return "still up"
		})
	}
	up := func() time.Duration {
		return nettest.Eventually(t, "BFD is up", func() string {
			if out := p1.birdc(t, "show bfd sessions"); !strings.Contains(out, " Up ") {
				return out
			}
			return ""
		})
	}
	// Who waits refuses the far end meanwhile, and that one begins to wait anew.
	ready := func() {
		nettest.Eventually(t, "the session may begin", func() string {
			out := p1.birdc(t, "show protocols all q1")
			assert.NotContains(t, out, "Error wait:")
			if !strings.Contains(out, "Connect") {
				return out
			}
			return ""
		})
	}
	up()
	for _, pause := range []time.Duration{0, 3 * time.Second} {
		p1.Sh(t,
			"nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }; "+
				"add chain inet cut out { type filter hook output priority 0; policy drop; }'")
		gone()
		ready()
		time.Sleep(pause)
		p1.Sh(t, "nft delete table inet cut")
		took := l.established(t)
		bfd := up()
		t.Logf("after %s without packets: back in %s, BFD %s later", pause,
			took.Round(10*time.Millisecond), bfd.Round(10*time.Millisecond))
	}
}

// TestBirdGoesBackMeanwhile takes a change back in the moment in which BIRD does so by
// itself: between two of the questions, and between the last one and the command.
func TestBirdGoesBackMeanwhile(t *testing.T) {
	for _, command := range []string{"configure status", "eval ", "show protocols", "configure undo"} {
		t.Run(command, func(t *testing.T) {
			g := newGuarded(t)
			g.try(t, number(t, 2), 3600)
			late := g.host
			late.Socket = g.interpose(t, command, func() { g.birdc(t, "configure undo") })
			must.Get(late.TakeBack(t.Context()))(t)
			g.want(t, 1, 1)
			assert.Equal(t, []string{"bird.conf"}, g.files(t), "nothing of the trial is left")
		})
	}
}

// A run that fails after BIRD took the text says what it did.
func TestTakenAndThenFailed(t *testing.T) {
	g := newGuarded(t)
	have := must.Get(g.host.Observe(t.Context()))(t)
	d := must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: number(t, 2), Timeout: 60}, have))(t)
	ctx, cancel := context.WithCancel(t.Context())
	late := g.host
	late.Socket = g.interpose(t, "eval ", cancel)
	done, err := late.Apply(ctx, d)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, bird.StampOf(number(t, 2)), g.runs(t))
	assert.Equal(t, []string{"configured BIRD, which takes it back in 60 s unless it is confirmed"}, done)
}

// interpose returns a control socket that hands everything to BIRD's, and that does
// something before it hands on the first command that begins like this one.
func (g *guarded) interpose(t *testing.T, command string, do func()) string {
	path := filepath.Join(t.TempDir(), "late.ctl")
	l := must.Get(net.Listen("unix", path))(t)
	t.Cleanup(func() { _ = l.Close() })
	done := false
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			daemon, err := net.Dial("unix", g.socket())
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(client, daemon)
				_ = client.Close()
			}()
			for in := bufio.NewScanner(client); in.Scan(); {
				if !done && strings.HasPrefix(in.Text(), command) {
					done = true
					do()
				}
				_, _ = io.WriteString(daemon, in.Text()+"\n")
			}
			_ = daemon.Close()
		}
	}()
	return path
}

// TestAddressComesAfterSession: BIRD opens the socket of a BFD session once. Linux tells it
// of an address before one can bind to it (net/ipv4/devinet.c, __inet_insert_ifa), so on a
// busy router an address that came back left BFD dead behind a BGP session that was well.
// Here the address comes late for sure. The kernel parameters of a router make up for it.
func TestAddressComesAfterSession(t *testing.T) {
	a, b := newNamespace(t, "late-a"), newNamespace(t, "late-b")
	nettest.Cable(t, a.Namespace, "wg1", b.Namespace, "wg1")
	for key, value := range (sysctl.Profile{}).Settings() {
		a.Sh(t, "echo %s > /proc/sys/%s", value, string(key))
	}
	a.IP(t, "addr", "add", "172.31.1.4/29", "dev", "wg1") // the neighbor is there, the address not
	b.IP(t, "addr", "add", "172.31.1.3/29", "dev", "wg1")
	for n, own, other := a, "172.31.1.2", "172.31.1.3"; ; n, own, other = b, other, own {
		n.IP(t, "link", "set", "wg1", "up")
		var c bird.Config
		c.SetDefaults()
		c.RouterID, c.AS = address("0.0.0.1"), 65001
		peer := plan.Neighbor{
			Name: "p1", Interface: "wg1", Address: address("%s", other),
			LocalAddress: address("%s", own), AS: 65002,
		}
		if n == b {
			c.RouterID, c.AS, peer.AS = address("0.0.0.2"), 65002, 65001
		}
		c.Neighbors = []plan.Neighbor{peer}
		require.NoError(t, c.Validate())
		require.NoError(t, os.WriteFile(n.conf(), bird.Render(c, bird.Sources{}), 0o640))
		n.start(t)
		if n == b {
			break
		}
	}
	nettest.Eventually(t, "the BFD session is made", func() string {
		return lacks(a.birdc(t, "show bfd sessions"), "172.31.1.3")
	})
	a.IP(t, "addr", "add", "172.31.1.2/29", "dev", "wg1")
	nettest.Eventually(t, "BFD is up", func() string { return lacks(a.birdc(t, "show bfd sessions"), " Up ") })
}

func lacks(text, part string) string {
	if strings.Contains(text, part) {
		return ""
	}
	return "expected " + part + " in " + text
}

// A dark interface into the site brings the site's networks no more: they go by the site's other router,
// whatever BIRD was told since it began. What it is told takes nothing away meanwhile.
func TestDarkSite(t *testing.T) {
	l := newLab(t, &router{label: "p1", site: 1, zone: 1}, &router{label: "p2", site: 1, zone: 1},
		&router{label: "q1", site: 2, zone: 1})
	p1, q1 := l.byName["p1"], l.byName["q1"]
	// As older versions of us had it.
	before := strings.ReplaceAll(string(p1.text(t)), "\tcheck link on;", "\t#")
	before = regexp.MustCompile(`(protocol static site\d)_\w+`).ReplaceAllString(before, "$1")
	require.NoError(t, os.WriteFile(p1.conf(), []byte(before), 0o644))
	l.start(t)
	ways := func(p1, q1 string) map[string]string {
		return map[string]string{
			"q1 10.1.0.0/16": q1, "q1 fd00:1::/48": q1, "p1 10.2.0.0/16": "q1",
			"p1 10.1.0.0/16": p1,
		}
	}
	var lit string
	nettest.Eventually(t, "its own way", func() string { // BIRD 3 tells the kernel later
		if lit = p1.IP(t, "route", "show", "10.1.0.0/16"); strings.Contains(lit, "dev site0 proto bird") {
			return ""
		}
		return "no route: " + lit
	})
	l.expect(t, ways(strings.TrimSpace(lit), "p1"))
	configure := func(title string) { // which is a comment in the text, and changes nothing else
		t.Helper()
		own, far := p1.watch(t), q1.watch(t)
		p1.config.Owners[3].Site = title
		require.NoError(t, os.WriteFile(p1.conf(), p1.text(t), 0o644))
		p1.birdc(t, "configure")
		must.Get(bird.ObserveDaemon(t.Context(), p1.socket()))(t)
		assert.NotRegexp(t, `\b(10\.1\.0\.0/16|fd00:1::/48) `, far(), "others hear nothing of it")
		assert.NotContains(t, own(), "Deleted 10.1.0.0/16")
	}
	set := func(link, state string, want map[string]string) {
		t.Helper()
		p1.IP(t, "link", "set", link, state)
		l.expect(t, want)
	}
	light := ways(strings.TrimSpace(lit), "p1")
	configure("one")
	set("lan1", "down", ways("p2", "p2"))
	set("lan1", "up", light)
	configure("two")
	set("site0", "down", ways("p2", "p2"))
	configure("dark")
	set("site0", "up", light)
	set("lan1", "down", ways("p2", "p2"))
	set("lan1", "up", light)

	// The text that it runs already, and what has BIRD 3 follow the interfaces on: a run, and a reload.
	host := bird.Host{Path: p1.conf(), Socket: p1.socket(), Run: t.TempDir()}
	want := bird.Want{State: bird.Applied, Text: p1.text(t)}
	deaf := func(names ...string) bird.Delta {
		t.Helper()
		have := must.Get(host.Observe(t.Context()))(t)
		assert.Equal(t, names, have.Daemon.Deaf)
		return must.Get(bird.Diff(want, have))(t)
	}
	require.Empty(t, deaf())
	for name, hear := range map[string]func(bird.Delta){
		"run":    func(d bird.Delta) { must.Get(host.Apply(t.Context(), d))(t) },
		"reload": func(bird.Delta) { p1.reload(t) },
	} {
		own, far := p1.watch(t), q1.watch(t)
		time.Sleep(time.Second) // two readings in one moment are one
		p1.birdc(t, "configure")
		if p1.config.Version.Major >= 3 {
			stamp := string(bird.StampOf(want.Text))
			d := deaf("site4_"+stamp, "site6_"+stamp)
			assert.Equal(t, bird.Delta{{Do: bird.ActHear, Text: want.Text}}, d)
			hear(d)
		} else {
			p1.reload(t)
		}
		assert.Empty(t, deaf(), name)
		assert.NotRegexp(t, `\b(10\.1\.0\.0/16|fd00:1::/48) `, far(), "others hear nothing of it")
		assert.NotContains(t, own(), "Deleted 10.1.0.0/16")
		set("lan1", "down", ways("p2", "p2"))
		set("lan1", "up", light)
	}
}

// reload does what systemd does for our drop-in.
func (r *router) reload(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	birdc := must.Get(exec.LookPath("birdc"))(t)
	stub := "#!/bin/sh\nexec " + birdc + " -s " + r.socket() + " \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "birdc"), []byte(stub), 0o755))
	cmd := exec.CommandContext(t.Context(), "sh", "boot.sh", r.conf(), "bird.service", "reload")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	must.Run(t, cmd)
	must.Get(bird.ObserveDaemon(t.Context(), r.socket()))(t)
}

// watch tells what changes in the kernel's routes from now on until it is asked.
func (n namespace) watch(t *testing.T) func() string {
	t.Helper()
	out := &strings.Builder{}
	cmd := n.Command("ip", "monitor", "route")
	cmd.Stdout = out
	require.NoError(t, cmd.Start())
	time.Sleep(100 * time.Millisecond)
	return func() string {
		time.Sleep(300 * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return out.String()
	}
}
