//go:build lab

package proof_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/table"
)

// A disturbance is what others do on a router while it forwards.
type disturbance struct {
	name, do string
	// gone is how long its sites may miss each other: what a restarted BIRD needs to
	// agree with its neighbours again is more than what a lost route costs.
	gone  time.Duration
	short bool // make proof does it too
}

// Nothing is taken away for longer than a second. The rest is for a busy machine.
const (
	kept      = 1500 * time.Millisecond
	restarted = 4 * time.Second
)

// upgrade installs a package again, as an upgrade does.
func upgrade(name string) string {
	return "DEBIAN_FRONTEND=noninteractive dpkg -i --force-confold --force-depends /root/debs/" + name + "_*.deb 2>&1"
}

// survives has the other programs of a host restart, reload, and be upgraded while
// nodes of two sites talk through it, and prints what each of it costs. make survive
// runs all of it, with packages that hosts of a lab do not have: docs/runs/survive.txt.
func survives(t *testing.T, l lab, leaks func(*testing.T) int) {
	all := os.Getenv("WGMESH_SURVIVE") != ""
	rows := [][]string{
		{"what happens on the router", "no answer for, ms", "left unencrypted", "tables of nftables gone for, ms"},
	}
	defer func() { t.Logf("what it costs:\n%s", strings.Join(table.Lines(rows, 120), "\n")) }()
	run := func(list ...disturbance) {
		for _, d := range list {
			if all || d.short {
				t.Run(d.name, func(t *testing.T) { rows = append(rows, l.disturb(t, d, leaks)) })
			}
		}
	}
	if all {
		l.debs(t, victim, "network-manager", "systemd", "nftables", "bird2", "wireguard-tools")
	}
	run(disturbance{"the host's address goes and comes", networkAnew, kept, true})
	l.in(t, victim, byNetworkd)
	run(
		disturbance{
			"networkctl reload, restart of systemd-networkd",
			"sed -i s/LLDP=no/LLDP=yes/ /etc/systemd/network/zz-all.network; networkctl reload; sleep 1; " +
				"systemctl restart systemd-networkd", kept, true,
		},
		disturbance{"networkctl reconfigure eth0", "networkctl reconfigure eth0", kept, false},
		disturbance{"upgrade of systemd", upgrade("systemd"), kept, false},
	)
	const rule = "from 192.0.2.0/24 lookup 177"
	assert.Contains(t, l.in(t, victim, "ip rule; ip rule del "+rule), rule, "networkd took a rule of others away")
	l.in(t, victim, "systemctl mask -q --now systemd-networkd systemd-networkd.socket")
	if all {
		l.in(t, victim, byNetworkManager)
	}
	run(
		disturbance{
			"systemctl restart NetworkManager",
			"systemctl restart NetworkManager; nm-online -q -s -t 20", kept, false,
		},
		disturbance{"nmcli device reapply eth0", "nmcli device reapply eth0", kept, false},
		disturbance{"nmcli connection up", "nmcli connection up lan", kept, false},
		disturbance{"upgrade of network-manager", upgrade("network-manager"), kept, false},
		disturbance{"systemctl start nftables", "systemctl start nftables", kept, true},
		disturbance{"systemctl reload nftables", "systemctl reload nftables", kept, true},
		disturbance{"systemctl restart nftables", "systemctl restart nftables", kept, false},
		disturbance{"systemctl stop nftables", "systemctl stop nftables", kept, false},
		disturbance{"upgrade of nftables", upgrade("nftables"), kept, false},
		disturbance{"upgrade of wireguard-tools", upgrade("wireguard-tools"), kept, false},
		disturbance{"systemctl daemon-reexec", "systemctl daemon-reexec", kept, false},
		disturbance{"systemctl reload bird", "systemctl reload bird", kept, false},
		disturbance{"systemctl restart bird", "systemctl restart bird", restarted, false},
		disturbance{"upgrade of bird2", upgrade("bird2"), restarted, false},
	)
}

// disturb does it under traffic between two sites, both ways, and again where that took too
// long and a session fell.
func (l lab) disturb(t *testing.T, d disturbance, leaks func(*testing.T) int) []string {
	t.Helper()
	for try := 1; ; try++ {
		began := time.Now()
		gap, out, row := l.disturbOnce(t, d, leaks)
		if gap < d.gone || !onceMore(t, try, l.flaps(t, began, victim, "two-1")) {
			within(t, gap, d.gone, d.name+": "+out)
			return row
		}
	}
}

func (l lab) disturbOnce(t *testing.T, d disturbance, leaks func(*testing.T) int) (gap time.Duration,
	out string, row []string,
) {
	t.Helper()
	l.waitFor(t, victim, whole(2))
	const tables = "nft list tables | grep -c wgmesh"
	want := l.in(t, victim, tables)
	l.in(t, victim,
		`(while sleep 0.005; do [ "$(`+tables+`)" = `+want+
			` ] || date +%s%3N; done) > /run/tables 2>&1 & echo $! > /run/tables.pid`)
	streams := []*stream{l.stream(t, sender, "node-two-a"), l.stream(t, "node-two-a", sender)}
	time.Sleep(time.Second)
	out = l.in(t, victim, d.do)
	l.waitFor(t, victim, whole(2))
	time.Sleep(2 * time.Second)
	for _, s := range streams {
		gap = max(gap, s.stop(t))
	}
	gone := l.in(t, victim,
		`kill $(cat /run/tables.pid); [ -s /run/tables ] &&
			echo $(( $(tail -n 1 /run/tables) - $(head -n 1 /run/tables) + 5 )) || echo 0`)
	left := leaks(t)
	assert.Zero(t, left, "packets for other sites left by the outer interface")
	assert.Equal(t, want, l.in(t, victim, tables), "tables of nftables")
	return gap, out, []string{d.name, fmt.Sprint(gap.Milliseconds()), fmt.Sprint(left), gone}
}

// What the programs that own the address of real hosts do to the one of a lab's host.
// The lab's own network, mgmt0, is nobody's.
const (
	address     = `a=$(ip -o -4 addr show eth0 | awk '{print $4}'); g=$(ip route show default | awk '{print $3}'); `
	networkAnew = address + "ip addr flush dev eth0; ip addr add $a brd + dev eth0; ip route add default via $g"
	byNetworkd  = address + `rm -f /etc/systemd/system/systemd-networkd.service; systemctl daemon-reload
		printf '[Match]\nName=eth0\n[Network]\nAddress=%s\nGateway=%s\n' $a $g > /etc/systemd/network/10-lan.network
		printf '[Match]\nName=!mgmt0\n[Network]\nLLDP=no\n' > /etc/systemd/network/zz-all.network
		ip rule add from 192.0.2.0/24 lookup 177
		ip addr flush dev eth0; systemctl start systemd-networkd; sleep 2`
	byNetworkManager = address + `systemctl mask -q --now systemd-networkd systemd-networkd.socket
		mkdir -p /etc/NetworkManager/system-connections /etc/NetworkManager/conf.d; cd /etc/NetworkManager
		printf '[keyfile]\nunmanaged-devices=interface-name:mgmt0\n' > conf.d/10-lab.conf
		printf '[connection]\nid=lan\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\n` +
		`address1=%s,%s\n[ipv6]\nmethod=disabled\n' $a $g > system-connections/lan.nmconnection
		chmod 600 system-connections/lan.nmconnection; cd /root/debs
		DEBIAN_FRONTEND=noninteractive dpkg -i --force-depends \
			$(ls *.deb | grep -Ev '^(systemd|nftables|bird2|wireguard-tools)_') >/dev/null 2>&1
		systemctl start NetworkManager; nmcli connection up lan; sleep 1`
)

// debs brings packages to a host, with what they need there; hosts of a lab have no
// way to a mirror.
func (l lab) debs(t *testing.T, host string, packages ...string) {
	t.Helper()
	layers := l.in(t, host, `sed -n 's/.*lowerdir=\([^,]*\),.*/\1/p' /proc/mounts | head -n 1`)
	base := layers[strings.LastIndex(layers, ":")+1:]
	folder := t.TempDir()
	for _, p := range packages {
		out, err := exec.CommandContext(t.Context(), "apt-get", "install", "-y",
			"--no-install-recommends", "--download-only", "--reinstall",
			"-o", "Dir::State::status="+base+"/var/lib/dpkg/status", "-o",
			"Dir::Cache::archives="+folder, p).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	tar := exec.CommandContext(t.Context(), "bash", "-c", fmt.Sprintf(
		`tar -C %s --exclude=lock --exclude=partial -c . | ssh -F %s %s 'mkdir -p /root/debs; tar -x -C /root/debs'`,
		folder, filepath.Join(filepath.Dir(l.inventory()), "ssh_config"), host))
	must.Run(t, tar)
}
