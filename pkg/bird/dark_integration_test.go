//go:build integration

package bird_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
)

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
