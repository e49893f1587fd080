//go:build integration

package bird_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
	"github.com/wgmesh/router/pkg/bird"
)

// farAddresses are addresses of q1's in site 2.
var farAddresses = []string{"10.2.1.%d", "fd00:2::1:%d"}

// A killedLab is a router p1 with a node behind it that pings a router of another site,
// and perhaps a second router of its site.
type killedLab struct {
	*lab
	p1, q1 *router
	node   namespace
	daemon *exec.Cmd
	tools  string // has a systemd-run that writes down what it was told
}

func newKilledLab(t *testing.T, second bool) *killedLab {
	t.Helper()
	routers := []*router{{label: "p1", site: 1, zone: 1}, {label: "q1", site: 2, zone: 1}}
	if second {
		routers = append(routers, &router{label: "p2", site: 1, zone: 1})
	}
	k := &killedLab{lab: newLab(t, routers...), node: newNamespace(t, "node"), tools: t.TempDir()}
	k.p1, k.q1 = k.byName["p1"], k.byName["q1"]
	nettest.Cable(t, k.p1.Namespace, "n0", k.node.Namespace, "eth0")
	k.p1.IP(t, "link", "set", "n0", "master", "site0", "up")
	k.node.IP(t, "link", "set", "eth0", "up")
	for _, address := range []string{"10.1.1.99/24", "fd00:1::1:99/64"} {
		k.node.IP(t, "addr", "add", address, "dev", "eth0", "nodad")
	}
	k.node.IP(t, "route", "add", "default", "via", "10.1.1.11")
	k.node.IP(t, "-6", "route", "add", "default", "via", "fd00:1::1:11")
	if second { // on the same wire
		nettest.Cable(t, k.p1.Namespace, "s2", k.byName["p2"].Namespace, "s1")
		k.p1.IP(t, "link", "set", "s2", "master", "site0", "up")
		k.byName["p2"].IP(t, "link", "set", "s1", "master", "site0", "up")
	}
	for _, r := range routers {
		r.floor(t)
		require.NoError(t, os.WriteFile(r.conf(), r.text(t), 0o644))
		daemon := r.namespace.start(t)
		if r == k.p1 {
			k.daemon = daemon
		}
	}
	k.established(t)
	for _, to := range farAddresses {
		nettest.Eventually(t, to+" answers", func() string {
			if out, err := k.node.Command("ping", "-q", "-c", "1", "-W", "1",
				fmt.Sprintf(to, k.q1.id+10)).CombinedOutput(); err != nil {
				return string(out)
			}
			return ""
		})
	}
	k.expect(t, map[string]string{"p1 10.2.0.0/16": "q1", "p1 10.2.1.0/24": "q1", "p1 fd00:2::/48": "q1"})
	tool := fmt.Sprintf("#!/bin/sh\nfor last; do :; done\nprintf '%%s\\n' \"$last\" >>%s/told\n", k.tools)
	require.NoError(t, os.WriteFile(filepath.Join(k.tools, "systemd-run"), []byte(tool), 0o755))
	return k
}

// script runs what the unit runs, while systemd has a job for it.
func (k *killedLab) script(t *testing.T, job string, args ...string) {
	t.Helper()
	must.Write(t, filepath.Join(k.tools, "systemctl"),
		"#!/bin/sh\n[ $1 != list-jobs ] || echo 7 bird.service "+job+" running\n", 0o755)
	cmd := k.p1.Command(append([]string{"sh", "boot.sh", k.p1.conf()}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+k.tools+":"+os.Getenv("PATH"))
	out := must.Run(t, cmd)
	assert.Empty(t, out)
}

// ends ends BIRD by a signal.
func (k *killedLab) ends(t *testing.T, signal os.Signal) {
	t.Helper()
	require.NoError(t, k.daemon.Process.Signal(signal))
	_ = k.daemon.Wait()
	time.Sleep(200 * time.Millisecond)
}

// begins starts BIRD as its unit does.
func (k *killedLab) begins(t *testing.T) {
	t.Helper()
	k.script(t, "start")
	k.daemon = k.p1.namespace.start(t)
	k.established(t)
	k.expect(t, map[string]string{"p1 10.2.1.0/24": "q1", "p1 fd00:2::/48": "q1"})
}

// forgets does what systemd-run was told to do later.
func (k *killedLab) forgets(t *testing.T) {
	t.Helper()
	told := must.Get(os.ReadFile(filepath.Join(k.tools, "told")))(t, "nothing takes the copies away")
	k.p1.Sh(t, "%s", string(told))
	assert.Empty(t,
		strings.TrimSpace(k.p1.IP(t, "route", "show", "proto", "158")+
			k.p1.IP(t, "-6", "route", "show", "proto", "158")))
}

// pings has the node send to q1, 500 packets of each family in a second, and returns what
// counts: sent, those that came to q1, and answered. The last ones are on their way when a
// ping ends, which does not wait for them.
func (k *killedLab) pings(t *testing.T) func() [][3]int {
	t.Helper()
	counters := func(n namespace, kind, direction string) {
		n.Sh(t, `nft -f - <<'END'
table inet came {
	counter four {}
	counter six {}
	chain in {
		type filter hook input priority 0;
		icmp type %[1]s ip %[2]s 10.1.1.99 counter name four
		icmpv6 type %[1]s ip6 %[2]s fd00:1::1:99 counter name six
	}
}
END`, kind, direction)
	}
	counters(k.q1.namespace, "echo-request", "saddr")
	counters(k.node, "echo-reply", "daddr")
	var cmds []*exec.Cmd
	var outs []*strings.Builder
	for _, to := range farAddresses {
		out := &strings.Builder{}
		cmd := k.node.Command("ping", "-q", "-i", "0.002", "-W", "1", fmt.Sprintf(to, k.q1.id+10))
		cmd.Stdout, cmd.Stderr = out, out
		require.NoError(t, cmd.Start())
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	return func() [][3]int {
		t.Helper()
		var found [][3]int
		for i, cmd := range cmds {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			_ = cmd.Wait()
			m := regexp.MustCompile(`(\d+) packets transmitted`).FindStringSubmatch(outs[i].String())
			require.NotNil(t, m, outs[i].String())
			sent, _ := strconv.Atoi(m[1])
			found = append(found, [3]int{sent})
		}
		time.Sleep(time.Second)
		for n, at := range []namespace{k.q1.namespace, k.node} {
			counters := at.Sh(t,
				"nft list counter inet came four; nft list counter inet came six; nft delete table inet came")
			for i, m := range regexp.MustCompile(`packets (\d+)`).FindAllStringSubmatch(counters, -1) {
				found[i][n+1], _ = strconv.Atoi(m[1])
			}
		}
		return found
	}
}

// A BIRD deletes its routes when it stops, and those of one that was killed when it starts,
// seconds before its sessions are back. What its unit does before that keeps the packets of
// the site on their way.
func TestKilledBirdKeepsForwarding(t *testing.T) {
	for _, second := range []bool{true, false} {
		t.Run(fmt.Sprintf("second router: %v", second), func(t *testing.T) {
			k := newKilledLab(t, second)
			leaks := k.p1.leaks(t)
			before := k.p1.IP(t, "route") + k.p1.IP(t, "-6", "route")
			count := k.pings(t)
			time.Sleep(200 * time.Millisecond)
			for range 2 { // and again, while the copies are there
				k.ends(t, syscall.SIGKILL)
				k.begins(t)
				k.script(t, "restart", "bird.service")
				k.ends(t, syscall.SIGTERM)
				k.begins(t)
			}
			time.Sleep(200 * time.Millisecond)
			for i, n := range count() {
				t.Logf("%s: %d sent, %d came, %d answered", fmt.Sprintf(farAddresses[i], k.q1.id+10), n[0], n[1], n[2])
				assert.Equal(t, n[0], n[1], "packets of the node that came through")
				if second {
					assert.Equal(t, n[0], n[2], "answers, by the other router meanwhile")
				}
			}
			k.forgets(t)
			assert.Equal(t, before, k.p1.IP(t, "route")+k.p1.IP(t, "-6", "route"))
			assert.Zero(t, leaks())
		})
	}
}

// What is kept goes, and is not kept for a BIRD that shall stop. Then the floor refuses.
func TestKilledBirdIsForgotten(t *testing.T) {
	k := newKilledLab(t, false)
	leaks := k.p1.leaks(t)
	refused := func() {
		t.Helper()
		for _, to := range farAddresses {
			out, err := k.p1.Command("ip", "route", "get", fmt.Sprintf(to, k.q1.id+10)).CombinedOutput()
			require.Error(t, err, "%s", out)
		}
		out, err := k.node.Command("ping", "-q", "-c", "5", "-i", "0.002", "-W", "1",
			fmt.Sprintf(farAddresses[0], k.q1.id+10)).CombinedOutput()
		require.Error(t, err, "%s", out)
		require.Zero(t, leaks())
	}
	k.script(t, "restart", "bird.service")
	require.Contains(t, k.p1.IP(t, "route", "show", "proto", "158"), "10.2.1.0/24 via ")
	k.script(t, "stop", "bird.service")
	k.ends(t, syscall.SIGTERM)
	refused()
	k.begins(t)
	// A way that died meanwhile is not kept for longer, and a route of BIRD's goes before.
	k.ends(t, syscall.SIGKILL)
	k.q1.Sh(t, "nft 'add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }'")
	k.script(t, "start")
	k.daemon = k.p1.namespace.start(t)
	nettest.Eventually(t, "BIRD has deleted what the one before left", func() string {
		return k.p1.IP(t, "route", "show", "10.2.1.0/24", "proto", "bird")
	})
	assert.Contains(t, k.p1.IP(t, "route", "get", "10.2.1.12"), "dev wg1 ")
	require.NoError(t, k.daemon.Process.Signal(syscall.SIGSTOP)) // it deletes each second what it does not know
	k.p1.IP(t, "route", "add", "10.2.1.0/24", "dev", "site0", "proto", "bird", "metric", strconv.Itoa(bird.Metric))
	assert.Contains(t, k.p1.IP(t, "route", "get", "10.2.1.12"), "dev site0 ")
	k.p1.IP(t, "route", "del", "10.2.1.0/24", "dev", "site0")
	require.NoError(t, k.daemon.Process.Signal(syscall.SIGCONT))
	k.forgets(t)
	refused()
}
