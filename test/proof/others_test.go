//go:build lab

package proof_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
)

// belongings are what others have on a router: another WireGuard of wg-quick's, a
// container engine's rules as Docker writes them, a table of nftables, a routing table
// with its rules, another routing daemon's configuration, a unit, a sysctl file. All
// of it lives, and all but the rules comes back at boot.
const belongings = `
set -e
umask 077; wg genkey >/etc/wireguard/private.key; wg genpsk >/etc/wireguard/ann.psk
printf '[Interface]\nPrivateKey = %s\nAddress = 10.98.0.1/24\nListenPort = 51922\nTable = off\n' "$(wg genkey)" \
	>/etc/wireguard/wg-mine.conf
cp /etc/wireguard/wg-mine.conf /etc/wireguard/wg-mine.conf.good # a copy of the user's own
umask 022
systemctl enable -q --now wg-quick@wg-mine
printf '[Unit]\nDescription=mine\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n%s\n%s\n' \
	'[Install]' 'WantedBy=multi-user.target' >/etc/systemd/system/mine.service
mkdir -p /etc/systemd/system/wg-quick@.service.d /etc/systemd/networkd.conf.d /etc/frr /etc/docker
printf '[Unit]\nDocumentation=man:mine\n' >/etc/systemd/system/wg-quick@.service.d/10-mine.conf
printf '[Network]\nSpeedMeter=no\n' >/etc/systemd/networkd.conf.d/10-mine.conf
systemctl daemon-reload; systemctl enable -q --now mine
printf 'net.ipv4.conf.all.log_martians = 1\n' >/etc/sysctl.d/50-mine.conf; sysctl -qp /etc/sysctl.d/50-mine.conf
printf 'bgpd_options="-p 1179"\n' >/etc/frr/daemons; printf 'router bgp 65500\n' >/etc/frr/frr.conf
printf '{}\n' >/etc/docker/daemon.json
ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up
ip route add 192.168.77.0/24 dev docker0 table 177; ip rule add from 192.168.77.0/24 lookup 177 pref 1177
ip route add 192.168.78.0/24 dev docker0
nft -f - <<'END'
table inet mine { chain in { type filter hook input priority 10; policy accept; tcp dport 2323 drop
	}
}
table ip filter {
	chain DOCKER { iifname != "docker0" oifname "docker0" drop
	}
	chain DOCKER-FORWARD { ct state established,related accept; iifname "docker0" accept
	}
	chain DOCKER-USER { return
	}
	chain FORWARD { type filter hook forward priority filter; policy accept
		jump DOCKER-USER; jump DOCKER-FORWARD; oifname "docker0" jump DOCKER
	}
}
table ip nat {
	chain DOCKER { iifname "docker0" return
	}
	chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump DOCKER
	}
	chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept
		ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
	}
}
END`

// theirs is all of that, byte for byte, and what it is in the kernel.
const theirs = `
cd /etc
for f in wireguard/private.key wireguard/ann.psk wireguard/wg-mine.conf wireguard/wg-mine.conf.good \
	wireguard/wg-road.conf wireguard/wg-road.conf.good systemd/system/mine.service \
	systemd/system/wg-quick@.service.d/10-mine.conf systemd/networkd.conf.d/10-mine.conf \
	sysctl.d/50-mine.conf frr/daemons frr/frr.conf docker/daemon.json; do
	stat -c '%n %a %u:%g %Y %i' $f; sha256sum $f; done
for d in wg-road wg-mine docker0; do ip -o link show $d | sed 's/ state .*//'; ip -o addr show $d | grep -v fe80; done
for d in wg-road wg-mine; do
	for w in public-key listen-port allowed-ips persistent-keepalive preshared-keys; do
		echo $d $w $(wg show $d $w | sha256sum); done; done
ip rule; ip route show table 177; ip route show 192.168.78.0/24; sysctl net.ipv4.conf.all.log_martians
for t in 'inet mine' 'ip filter' 'ip nat'; do nft list table $t; done
systemctl is-enabled mine wg-quick@wg-mine wg-quick@wg-road; systemctl is-active mine wg-quick@wg-mine wg-quick@wg-road
systemctl show -p ActiveEnterTimestamp mine wg-quick@wg-mine wg-quick@wg-road`

// TestOthers looks that what others made on a router lives through every kind of run.
func TestOthers(t *testing.T) {
	l := up(t, "others", "test/proof/testdata/dual.yml")
	l.mesh(t)
	gone := filepath.Join(t.TempDir(), "gone.yml")
	must.Write(t, gone, "all: {children: {routers: {hosts: {three-1: {mesh_state: absent}}}}}\n", 0o600)
	others(t, l, "one-1", "two-1", gone)
	reset(t, l, "one-1")
}

// everything is all of a host that a reset has to bring back: its files, units, accounts,
// parameters, tables, addresses and routes.
const everything = `
cd /etc
find . \( -name '*-' -o -name '.pwd.lock' -o -name ld.so.cache -o -path ./mtab -o -path ./resolv.conf \) -prune \
	-o \( -type f -o -type l \) -print | LC_ALL=C sort | while read -r f; do
	echo "file $(stat -c '%n %a %U:%G' "$f") $(sha256sum <"$f" 2>/dev/null)"; done
systemctl list-unit-files --no-legend --plain --state=enabled
systemctl list-units --no-legend --plain --state=active --type=service,socket,timer |
	cut -d' ' -f1 | grep -v '^user\|^session'
getent passwd | sort; getent group | sort
sysctl -a 2>/dev/null | grep -E '^net\.(core|ipv4|ipv6)\.' |
	grep -vE 'neigh|entropy|stat|\.gc|count|fib_sync_mem|max_.*orphans|secret|flowlabel|_mem '
nft list ruleset; ip rule; ip -6 rule
for f in -4 -6; do ip $f route show table all | sed 's/ expires [0-9]*sec//'; done
ip -o addr | sed 's/ valid_lft.*//'; ip -o link | sed 's/ qlen.*//;s/ group.*//'`

// ours finds anything that is still there of the mesh, but what the user's own tunnel needs.
const ours = `{ find / -xdev \
	\( -path /proc -o -path /var/lib/dpkg -o -path /var/cache -o -path /var/log -o -path /run/wgmesh \) -prune \
	-o -name '*wgmesh*' -print
ls /etc/systemd/system | grep -i -e wgmesh -e floor
systemctl list-units --all --no-legend --plain '*wgmesh*' 'wg-quick@wg[0-9]*'
nft list tables | grep wgmesh; getent passwd wgmesh
ip route show table all proto 157; ip -6 route show table all proto 157; grep -rsl wgmesh /etc --exclude-dir=wireguard
} | grep -v -e /00-wgmesh-wg-road.network -e /50-wgmesh -e /wgmesh.nft -e 'table inet wgmesh$'; true`

// joining has a join at work, a unit that failed, and metrics. TestJoin has the real ones.
const joining = `cd /etc/systemd/system; touch /var/lib/wgmesh.prom
printf '[Service]\nType=oneshot\nExecStart=/bin/sleep 900\n' >wgmesh-join.service
printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' >wgmesh-host-key.service
systemctl daemon-reload; systemctl start --no-block wgmesh-join; systemctl start wgmesh-host-key 2>/dev/null || true
sleep 1; systemctl is-active wgmesh-join | grep -x activating; systemctl is-failed wgmesh-host-key`

// reset makes a router as it was, twice: that it was added and removed in between leaves no trace.
func reset(t *testing.T, l lab, host string) {
	run := func(args ...string) (recap, string, error) {
		t.Helper()
		return l.playbook(t, "reset", append(args, "--limit", host)...)
	}
	l.mesh(t) // all three, without an absent one
	drained := func(play string, want assert.ErrorAssertionFunc) string {
		t.Helper()
		_, out, err := l.playbook(t, play, "--limit", host, "-e", "mesh_drain_force=true", "-e", "mesh_drain_wait=1")
		want(t, err, tail(out))
		return out
	}
	drained("drain", assert.NoError)
	assert.Contains(t, drained("reset", assert.Error), "has no other way to 10.", "the only router of its site")
	drained("undrain", assert.NoError)
	all := l.states(t)
	_, out, err := run()
	require.Error(t, err)
	assert.Contains(t, out, "it is still used by", tail(out))
	counts, out, err := run("--check", "--diff", "-e", "mesh_reset_force=true")
	require.NoError(t, err, tail(out))
	assert.NotEmpty(t, counts.changed())
	assert.Contains(t, out, "+private_key_file: absent", "a diff says what would go")
	l.unchanged(t, all)

	want := l.in(t, host, theirs)
	away := func(args ...string) string {
		t.Helper()
		counts, out, err = run(args...)
		require.NoError(t, err, tail(out))
		require.NotEmpty(t, counts.changed())
		same(t, map[string]string{host: want}, map[string]string{host: l.in(t, host, theirs)})
		assert.Empty(t, l.in(t, host, ours))
		counts, out, err = run() // nobody uses it any more
		require.NoError(t, err, tail(out))
		assert.Empty(t, counts.changed(), "a second run changes nothing")
		return l.in(t, host, everything)
	}
	l.in(t, host, joining)
	first := away("-e", "mesh_reset_force=true", "-e", "mesh_metrics_file=/var/lib/wgmesh.prom")
	comeAndGo(t, l, host)
	same(t, map[string]string{host: first}, map[string]string{host: away()})
}

// comeAndGo adds a router to the mesh and removes it, and the others lose no packet.
func comeAndGo(t *testing.T, l lab, host string) {
	_, out := l.red(t, "add", "-e", "mesh_add=nobody")
	assert.Contains(t, out, "nobody is not a router of the inventory: put it there first")

	for try := 1; ; try++ {
		began, spills := time.Now(), l.spills(t, "two-1", "three-1")
		s := l.streamEvery(t, "0.01", "node-two-a", "node-three-a")
		addRemove(t, l, host)
		s.stop(t)
		fell := append(l.flaps(t, began, "two-1", "three-1"), l.spilled(t, spills, s)...)
		if s.lost(t) > 0 && onceMore(t, try, fell) {
			continue
		}
		require.Greater(t, len(s.answers(t)), 500)
		require.Zero(t, s.lost(t), "lost: %s", outage.Losses(s.answers(t)))
		t.Logf("%d pings between two other sites, none lost", len(s.answers(t)))
		return
	}
}

func addRemove(t *testing.T, l lab, host string) {
	t.Helper()
	counts, _ := l.green(t, "add", "-e", "mesh_add="+host)
	assert.Len(t, counts.changed(), 3)
	all := l.states(t)
	remove := func(more ...string) recap {
		t.Helper()
		counts, _ := l.green(t, "remove",
			append(more, "-e", "mesh_remove="+host, "-e", "mesh_drain=false")...)
		return counts
	}
	remove("--check")
	l.unchanged(t, all)
	assert.Len(t, remove().changed(), 2, "the others forget it")
	assert.Equal(t, "wg3", l.in(t, "two-1", "wg show interfaces"))
	assert.Empty(t, remove().changed(), "a second run changes nothing")
}

// others takes a router on which others have things through every kind of run, and
// ends with one that makes a router absent.
func others(t *testing.T, l lab, host, peer, gone string) {
	l.in(t, host, belongings)
	road := func() (string, error) {
		return l.command(t, 10*time.Minute, "ansible-playbook", "-i", l.inventory(),
			"test/proof/testdata/road.yml", "-e", "road="+host)
	}
	out, err := road()
	require.NoError(t, err, tail(out))
	want := l.in(t, host, theirs)
	untouched := func(t *testing.T, after string) {
		t.Helper()
		same(t, map[string]string{host: want}, map[string]string{host: l.in(t, host, theirs)})
		require.False(t, t.Failed(), "after %s", after)
	}

	l.green(t, "image", "--limit", host)
	untouched(t, "a second image play")
	assert.Empty(t, l.mesh(t).changed())
	untouched(t, "a mesh play")

	partners := filepath.Join(t.TempDir(), "partners.yml")
	text := must.Get(os.ReadFile("testdata/partners.yml"))(t)
	text = fmt.Appendf(text,
		"      hosts:\n        %s: {mesh_id: 1, mesh_site: here, mesh_zone: z, mesh_endpoint: 192.0.2.201}\n"+
			"        %s: {mesh_id: 2, mesh_site: there, mesh_zone: z, mesh_endpoint: 192.0.2.202}\n", host, peer)
	require.NoError(t, os.WriteFile(partners, text, 0o600))
	before := l.states(t)
	for _, check := range [][]string{{"--check"}, {}} {
		counts, out := l.red(t, "mesh", append(check, "-i", partners, "-e", "mesh_group=partners")...)
		assert.Contains(t, out, "this host is in the mesh routers (/etc/", tail(out))
		assert.Contains(t, out, "so it cannot be in partners: take it out there first")
		assert.Empty(t, counts.changed())
		assert.ElementsMatch(t, []string{host, peer}, slices.Collect(maps.Keys(counts)))
		l.unchanged(t, before)
	}
	untouched(t, "another mesh's play")

	alone := func(module, args string) {
		out, err := l.command(t, 10*time.Minute, "ansible", "-i", l.inventory(), host, "-m",
			"wgmesh.router."+module, "-a", args)
		require.NoError(t, err, tail(out))
		require.Contains(t, out, "CHANGED", module)
	}
	alone("wg_tunnel", `{"mesh": "routers", "tunnels": [], "purge": true, "guard": 600}`)
	assert.Equal(t, "wg-mine wg-road", l.in(t, host, "echo $(wg show interfaces | tr ' ' '\n' | sort)"))
	untouched(t, "all of the mesh was purged")
	alone("mesh_guard", `{"state": "undone"}`)
	assert.Empty(t, l.mesh(t).changed(), "the mesh is back as it was")
	untouched(t, "the purge was taken back")

	l.mesh(t, "-i", gone)
	untouched(t, "a router was made absent")
	out, err = road()
	require.NoError(t, err, tail(out))
	assert.Contains(t, out, "changed=0", "the user's own run")
	untouched(t, "the user's own run")
	assert.Empty(t, l.mesh(t, "-i", gone).changed())
}
