//go:build lab

package proof_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bootLimit is what the reboot of a router may take until its network is whole, on a
// machine that is quiet.
const bootLimit = 30 * time.Second

// victim is the router whose power is cut. It has wg1 to two-1, wg2 to three-1.
const victim = "one-1"

// TestReboot cuts the power of one router of three again and again, in every
// state that its files can be left in. It comes back from local files alone.
func TestReboot(t *testing.T) {
	l := up(t, "reboot", "test/proof/testdata/reboot.yml")
	l.mesh(t)
	l.steps(t, []step{
		{"what the next boot would lack is said, and the mesh play mends it", nextBoot},
		{"BIRD before the tunnels, and after them", eitherOrder},
		{"files that were half written, zero or gone are put back", damagedFiles},
		{"what was damaged has been named, and the next run mends the rest", damageIsMended},
		{"a tunnel that cannot come up takes nothing with it", failedTunnel},
		{"a change that waited for its confirmation is forgotten", pendingChange},
		{"the network comes late, and a peer is out of reach", lateNetwork},
		{"a reload does not take a tunnel's keys away", reloadKeepsKeys},
	})
}

// whole succeeds when n BGP sessions and as many BFD sessions are up.
func whole(n int) string {
	return fmt.Sprintf(`[ "$(birdc show protocols 2>/dev/null | grep -c Established)" = %d ] &&
		[ "$(birdc show bfd sessions 2>/dev/null | grep -c Up)" = %d ]`, n, n)
}

// powerCut cuts the victim's power after harm was done to its disk, boots it, and
// waits until so many sessions are up.
func (l lab) powerCut(t *testing.T, what, harm string, sessions int) {
	t.Helper()
	l.in(t, victim, harm)
	l.tool(t, "stop", victim)
	began := time.Now()
	l.tool(t, "start", victim)
	l.waitFor(t, victim, whole(sessions))
	took := time.Since(began)
	t.Logf("%s: power on to %d sessions %.1f s", what, sessions, took.Seconds())
	within(t, took, bootLimit, what)
}

const (
	tunnelsFirst = `mkdir -p /etc/systemd/system/bird.service.d
		printf '[Unit]\nAfter=wg-quick@wg1.service wg-quick@wg2.service\n' \
			> /etc/systemd/system/bird.service.d/10-order.conf`
	birdFirst = `rm /etc/systemd/system/bird.service.d/10-order.conf
		printf '[Unit]\nAfter=bird.service\n[Service]\nExecStartPre=/bin/sleep 2\n' \
			> /etc/systemd/system/wg-quick@.service.d/10-order.conf`
	anyOrder = `rm /etc/systemd/system/wg-quick@.service.d/10-order.conf`
)

func nextBoot(t *testing.T, l lab) {
	said := func(play string) string {
		_, out := l.green(t, play)
		return strings.Join(strings.Fields(out), " ")
	}
	lacks := map[string]string{}
	for router, harm := range map[string][2]string{
		victim: {
			"systemctl -q disable wgmesh-floor bird wg-quick@wg2; chown root:root /etc/bird; chmod 700 /etc/bird",
			"(wgmesh-floor is not enabled, bird is not enabled, wg-quick@wg2 is not enabled and 1 more)",
		},
		"two-1": {
			"chmod 600 /etc/bird/bird.conf; : >/etc/wgmesh/floor; rm /etc/wireguard/wgmesh.nft",
			"(/etc/bird/bird.conf is closed to BIRD, /etc/wgmesh/floor differs and 1 more)",
		},
		"three-1": {
			"sed -i 's/hold time 30/hold time 31/' /etc/bird/bird.conf; rm /etc/sysctl.d/99-zz-wgmesh.conf",
			"(/etc/bird/bird.conf differs, /etc/sysctl.d/99-zz-wgmesh.conf is missing)",
		},
	} {
		l.in(t, router, harm[0])
		lacks[router] = harm[1]
	}
	l.in(t, victim, "echo net.ipv4.ip_forward=0 > /etc/sysctl.d/zz.conf")
	out := said("status")
	for router, words := range lacks {
		assert.Contains(t, out, router+": after the next boot it will not be as it is now "+words)
	}
	out = said("mesh")
	assert.NotContains(t, out, "after the next boot")
	assert.Contains(t, out, victim+": files of others undo the mesh's kernel settings "+
		"(net.ipv4.ip_forward=0 in /etc/sysctl.d/zz.conf)")
	l.in(t, victim, "rm /etc/sysctl.d/zz.conf")
}

func eitherOrder(t *testing.T, l lab) {
	l.powerCut(t, "tunnels first", tunnelsFirst, 2)
	l.powerCut(t, "BIRD first", birdFirst, 2)
	l.in(t, victim, anyOrder)
}

func damagedFiles(t *testing.T, l lab) {
	files := []string{"/etc/wireguard/wg1.conf", "/etc/bird/bird.conf"}
	for _, damage := range []struct{ name, command string }{
		{"half written", `truncate -s $(($(stat -c %s $f) / 2)) $f`},
		{"zeros", `n=$(stat -c %s $f); head -c $n /dev/zero > $f`},
		{"gone", `rm $f`},
	} {
		// Beside it what a killed run leaves.
		harm := `rm -f /etc/wireguard/*.damaged /etc/bird/*.damaged
			for f in ` + strings.Join(files, " ") + `; do
				sha256sum $f > /root/$(basename $f).sum
				head -c 99 $f > $(dirname $f)/.$(basename $f).123456
				head -c 99 $f > $f.good.new
				` + damage.command + `
			done
			head -c 20 /dev/urandom > /etc/wireguard/.wgmesh.key.7
			head -c 9 /dev/urandom > /etc/wireguard/wgmesh-psk/.1.psk.7`
		l.powerCut(t, damage.name, harm, 2)
		l.in(t, victim, "sha256sum --quiet -c /root/wg1.conf.sum /root/bird.conf.sum")
		for _, f := range files {
			unit, words := "wg-quick@wg1", f+" was missing or broke off"
			if strings.Contains(f, "bird") {
				unit, words = "bird", f+" cannot be used"
			}
			log := l.in(t, victim, "systemctl status -n 200 "+unit)
			assert.Contains(t, log, words)
			if damage.name != "gone" {
				assert.Contains(t, log, f+".damaged")
				l.in(t, victim, "test -e "+f+".damaged")
			}
		}
	}
}

func damageIsMended(t *testing.T, l lab) {
	l.powerCut(t, "the clamp's file too",
		`for f in /etc/wireguard/wg1.conf /etc/bird/bird.conf /etc/wireguard/wgmesh.nft; do truncate -s 30 $f; done`, 2)
	assert.Contains(t, l.in(t, victim, "systemctl status -n 200 wg-quick@wg2"), "wg2: no MSS clamp")
	_, out := l.green(t, "mesh", "-e", "mesh_settle=60")
	for _, path := range []string{"/etc/wireguard/wg1.conf.damaged", "/etc/bird/bird.conf.damaged"} {
		assert.Contains(t, out, path, "the run does not name it")
	}
	l.in(t, victim, "nft list table inet wgmesh | grep -q maxseg")
	l.in(t, victim, "rm /etc/wireguard/*.damaged /etc/bird/*.damaged")
}

func failedTunnel(t *testing.T, l lab) {
	l.powerCut(t, "a pre-shared key is damaged", "truncate -s 20 /etc/wireguard/wgmesh-psk/1.psk", 1)
	assert.Contains(t, l.in(t, victim, "systemctl --failed --no-legend"), "wg-quick@wg1.service")
	assert.Contains(t, l.in(t, victim, "systemctl status -n 200 wg-quick@wg1 || true"), "1.psk")
	l.waitFor(t, victim, "ip route show 10.1.0.0/16 | grep -q 'dev wg2 '") // through the third site
	l.mesh(t)
	l.waitFor(t, victim, whole(2))
}

func pendingChange(t *testing.T, l lab) {
	const try = `cd /etc/bird; sed 's/hold time 30/hold time 45/' bird.conf > bird.conf.cand-cut
		chgrp bird bird.conf.cand-cut; chmod 640 bird.conf.cand-cut; mkdir -p /run/wgmesh
		echo '{"candidate": "/etc/bird/bird.conf.cand-cut", "stamp": "0123456789abcdef"}' \
			> /run/wgmesh/bird-etc-bird-bird.conf.json
		birdc 'configure "/etc/bird/bird.conf.cand-cut" timeout 300' | grep -q Reconfigur`
	before := l.in(t, victim, "sha256sum /etc/bird/bird.conf")
	l.powerCut(t, "a change is pending", try, 2)
	assert.Equal(t, before, l.in(t, victim, "sha256sum /etc/bird/bird.conf"))
	l.in(t, victim, `birdc configure status | grep -q 'Daemon is up'; ! birdc configure status | grep -q unconfirmed`)
	assert.Equal(t, []string{victim + " (2)"}, l.mesh(t).changed(), "it is cleared away, and that is confirmed")
	l.in(t, victim, "! ls /etc/bird/*.cand-*")
}

func lateNetwork(t *testing.T, l lab) {
	const late = `printf '[Unit]\nBefore=network-online.target\n[Service]\nType=oneshot\n` +
		`ExecStart=/bin/sleep 4\n[Install]\nWantedBy=network-online.target\n' > /etc/systemd/system/late.service
		systemctl enable -q late`
	l.tool(t, "cut", "one", "two")
	l.powerCut(t, "network-online 4 s late, two-1 out of reach", late, 1)
	l.waitFor(t, victim, "ip route show 10.1.0.0/16 | grep -q 'dev wg2 '")
	began := time.Now()
	l.tool(t, "join", "one", "two")
	l.waitFor(t, victim, whole(2))
	took := time.Since(began)
	t.Logf("two-1 in reach to 2 sessions %.1f s", took.Seconds())
	within(t, took, bootLimit, "two-1 in reach")
	l.in(t, victim, "systemctl disable -q late; rm /etc/systemd/system/late.service")
}

func reloadKeepsKeys(t *testing.T, l lab) {
	const keys = "{ wg show wg1 private-key; wg show wg1 preshared-keys; } | sha256sum"
	before := l.in(t, victim, keys)
	out, err := l.try(t, "exec", victim, "systemctl reload wg-quick@wg1")
	require.Error(t, err, "the reload did something: %s", out)
	assert.Equal(t, before, l.in(t, victim, keys))
	assert.Contains(t, l.in(t, victim, "journalctl --sync; systemctl status -n 200 wg-quick@wg1"), "wg1: not reloaded")
	l.in(t, victim, "systemctl is-active wg-quick@wg1")
	l.waitFor(t, victim, whole(2))
	counts, out := l.green(t, "mesh", "-e", "mesh_settle=60")
	assert.Empty(t, counts.changed(), "a reboot or its mending left something to do")
	assert.NotContains(t, out, ".damaged")
}
