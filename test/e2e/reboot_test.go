//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// state is what a boot that changes nothing leaves alone.
const state = `find /etc/wireguard /etc/bird /etc/wgmesh -type f | sort | xargs stat -c '%n %a %U %Y %s'; ` +
	`wg show all allowed-ips | sort; wg show all peers | sort`

// bootBlind boots azure-2 without its inventory. Its disk, as it was when it was
// powered off, is the one that badInput clones.
func bootBlind(t *testing.T, n *network) {
	m := n.router("azure-2")
	m.in(t, "mv /etc/wgmesh/inventory.yml /etc/wgmesh/away.yml")
	before := m.in(t, state)
	m.off(t)
	n.keepDisk(t, m)
	began := m.start(t)
	m.reachable(t, 5*time.Minute)
	m.waitFor(t, whole, 5*time.Minute)
	t.Logf("tunnels and sessions up %.1f s after network-online, %.0f s after power on",
		m.afterOnline(t), time.Since(began).Seconds())
	t.Log(m.says(t, "wgmesh join: discovery failed: .* using the routers known", 5*time.Minute))
	line := m.says(t, inMesh, 10*time.Minute)
	t.Logf("%3.0f s after power on: %s", time.Since(began).Seconds(), line)
	assert.Contains(t, line, "nothing changed")
	assert.Equal(t, before, m.in(t, state))
	m.in(t, "mv /etc/wgmesh/away.yml /etc/wgmesh/inventory.yml")
}

// bootInThePast boots aws-1 with a clock that is an hour behind and no time server, so
// the others refuse its handshakes: they remember later ones.
func bootInThePast(t *testing.T, n *network) {
	m := n.router("aws-1")
	m.in(t, "sync")
	m.cut(t)
	m.clock = time.Now().UTC().Add(-time.Hour).Format("2006-01-02T15:04:05")
	began := m.start(t)
	m.clock = ""
	m.reachable(t, 5*time.Minute)
	m.waitFor(t, whole, 5*time.Minute)
	behind := time.Since(time.Unix(int64(seconds(m.in(t, "date +%s"))), 0))
	require.Greater(t, behind, 55*time.Minute, "the clock is right, so this proves nothing")
	t.Logf("the clock is %v behind: tunnels and sessions up %.1f s after network-online, %.0f s after power on",
		behind.Round(time.Second), m.afterOnline(t), time.Since(began).Seconds())
	line := m.says(t, inMesh, 10*time.Minute)
	t.Logf("%3.0f s after power on: %s", time.Since(began).Seconds(), line)
	assert.Contains(t, line, "nothing changed")
	n.prove(t)
}

// afterOnline is how long after network-online.target the last of the router's
// sessions came up, by its own clock.
func (m *machine) afterOnline(t *testing.T) float64 {
	t.Helper()
	out := m.in(t, `cut -d ' ' -f 1 /proc/uptime; date +%H:%M:%S.%N
		systemctl show -P ActiveEnterTimestampMonotonic network-online.target
		birdc show protocols | awk '$2 == "BGP" { print $5 }'
		birdc show bfd sessions | awk '$3 == "Up" { print $4 }'`)
	f := strings.Fields(out)
	require.Len(t, f, 9, "uptime, time, network-online and 6 sessions: %s", out)
	latest := 0.0
	for _, at := range f[3:] {
		ago := seconds(f[1]) - seconds(at)
		if ago < 0 {
			ago += 24 * 3600
		}
		latest = max(latest, seconds(f[0])-ago)
	}
	return latest - seconds(f[2])/1e6
}
