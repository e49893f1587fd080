//go:build lab

package proof_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// undoLimit is what a router may take beyond the guard's time until everything is
	// back. On a slow machine it is what a run that changes nothing takes.
	undoLimit = 5 * time.Second
)

// pace is how long a run that changes nothing takes on this machine.
var pace time.Duration

// undoAfter is the guard's time, in seconds, where nobody settles a change: enough for
// the run to get from the change to where it waits.
func undoAfter() int { return max(10, int(2*pace/time.Second)) }

// TestUndo makes changes on one router of three that cut off what worked, or that nobody confirms.
// Each is taken back as a whole, and good ones are kept, also while another router is sick.
func TestUndo(t *testing.T) {
	l := up(t, "undo", "test/proof/testdata/reboot.yml")
	l.mesh(t)
	before := l.settled(t)
	began := time.Now()
	l.mesh(t)
	pace = time.Since(began)
	for _, c := range badChanges {
		if !t.Run(c.name, func(t *testing.T) { c.alive(t, l, before) }) {
			t.FailNow()
		}
	}
	for _, c := range badChanges {
		if !c.dead && os.Getenv("WGMESH_UNDO") != "all" {
			continue
		}
		if !t.Run(c.name+", and the controller dies", func(t *testing.T) { c.controllerDies(t, l, before) }) {
			t.FailNow()
		}
	}
	l.steps(t, []step{
		{"a reboot takes the change back before the tunnels are up", rebootUndoes},
		{"the same change again goes on where the dead controller stopped", runAgain},
		{"other names for all interfaces are kept", otherNames},
		{"a good change is kept while a router is off", keptWithoutOne},
		{"a good change is kept while a router is sick", keptWithSick},
	})
}

// A badChange is made on the victim alone.
type badChange struct {
	name      string
	variables string // as JSON, on top of the inventory
	before    string // on the victim, what makes the change a bad one
	after     string
	lost      string // what the run names; empty: it cannot reach the router any more
	dead      bool   // also with a controller that dies, on every run of this test
}

var badChanges = []badChange{
	{
		name: "BIRD: another AS number", variables: `"mesh_sites": ` + sitesWith(`"as": 65011`, ""),
		lost: "two-1", dead: true,
	},
	{
		name:      "half works: one peer has another AS number",
		variables: `"mesh_sites": ` + sitesWith("", `"as": 65031`), lost: "three-1",
	},
	{name: "tunnel addresses of another length", variables: `"mesh_link_prefix_length": 30`, lost: "three-1"},
	{name: "ports", variables: `"mesh_port_base": 50800`, lost: "two-1"},
	{name: "key", variables: `"mesh_regenerate_keys": "always"`, lost: "two-1"},
	{
		name:      "MTU that the way does not carry",
		variables: `"mesh_sites": ` + sitesWith(`"mtu": 1400`, ""), lost: "two-1",
		before: `nft 'table inet cut { chain c { type filter hook output priority 0; ` +
			`oifname "wg1" meta length 1330-1350 drop; }; }'`,
		after: "nft delete table inet cut",
	},
	{name: "link pool", variables: `"mesh_link_pool": "172.30.0.0/16"`, lost: "two-1"},
	{
		name:      "interface prefix, and ports",
		variables: `"mesh_interface_prefix": "vpn", "mesh_port_base": 50800`, lost: "two-1", dead: true,
	},
	{
		name:      "kernel parameters, of interfaces with other names",
		variables: `"mesh_interface_prefix": "net"`, lost: "two-1",
		before: spoil +
			`'until ip link show net1; do sleep 0.1; done; ` +
			`nft "table inet cut { chain c { type filter hook output priority 0; oifname net1 drop; }; }"'`,
		after: "nft delete table inet cut",
	},
	{
		name: "the way of the controller", variables: `"mesh_keepalive": 23`,
		before: spoil + `'until grep -q "keepalive 23" /etc/wireguard/wg1.conf; do sleep 0.1; done
			nft "table inet cut { chain c { type filter hook input priority 0; iifname mgmt0 drop; }; }"
			while grep -q "keepalive 23" /etc/wireguard/wg1.conf; do sleep 0.1; done; nft delete table inet cut'`,
	},
}

// spoil has the victim do something as soon as the change is there, as a consequence
// of it that no module sees.
const spoil = "systemd-run --quiet --collect sh -c "

// sitesWith are the sites of the inventory with more about the victim's and about three.
func sitesWith(one, three string) string {
	site := func(as, n int, more string) string {
		if !strings.Contains(more, `"as"`) {
			more = strings.TrimPrefix(more+fmt.Sprintf(`, "as": %d`, as), ", ")
		}
		return fmt.Sprintf(`{%s, "networks": ["10.%d.0.0/16"], "zones": {"a": ["10.%d.1.0/24"]}}`, more, n, n)
	}
	return fmt.Sprintf(`{"one": %s, "two": %s, "three": %s}`, site(65010, 0, one),
		site(65020, 1, ""), site(65030, 2, three))
}

// everything is the state of a router without what a file that was put back cannot
// have as before, its number on the disk, and without the numbers of interfaces.
func (l lab) everything(t *testing.T) map[string]string {
	t.Helper()
	script := strings.Replace(state, " %Y %i'", " %Y'", 1)
	script = strings.Replace(script, "ip -d addr show | grep -v valid_lft",
		`ip -d addr show | grep -v valid_lft | sed -E 's/^[0-9]+: /: /; `+
			`s/(promiscuity|allmulti|minmtu|maxmtu|numtxqueues|gso_max_size|tso_max_size) .*//'`, 1)
	script = strings.Replace(script, "private-key 2>/dev/null |", "private-key 2>/dev/null | sort |", 1)
	// An interface that was made anew has another random address of its own.
	script = strings.Replace(script, "grep -v valid_lft", "grep -v valid_lft | grep -v stable-privacy", 1)
	script = "{ " + script + "} | grep -v stable_secret\n"
	script += `birdc show protocols | awk '$2 == "BGP" {print $1, $4, $NF}' | sort; ls -A /etc/wireguard` + "\n"
	return l.onRouters(t, script)
}

// extra are the arguments of a run that makes the change. One that is to find out by
// itself what it cut has the time for it, on a slow machine too.
func (c badChange) extra(guard, wait int) []string {
	return []string{
		"--limit", victim, "-e",
		fmt.Sprintf(`{%s, "mesh_confirm_timeout": %d, "mesh_wait": %d}`, c.variables, guard, wait),
	}
}

// settled waits until all sessions are up.
func (l lab) settled(t *testing.T) map[string]string {
	t.Helper()
	l.waitHealthy(t)
	return l.everything(t)
}

// asBefore wants all as it was, as soon as the routes of the sessions have come.
func (l lab) asBefore(t *testing.T, before map[string]string) {
	t.Helper()
	have := l.settled(t)
	for end := time.Now().Add(patience); !equal(before, have) && time.Now().Before(end); have = l.settled(t) {
		time.Sleep(time.Second)
	}
	same(t, before, have)
}

// back waits until the victim's change is taken back, and wants all as it was.
func (l lab) back(t *testing.T, before map[string]string, since time.Time) {
	t.Helper()
	l.waitFor(t, victim, "! test -e /etc/wireguard/wgmesh-undo/journal.json")
	took := time.Since(since)
	t.Logf("taken back after %.1f s", took.Seconds())
	within(t, took, time.Duration(undoAfter())*time.Second+max(undoLimit, pace), "to take it back")
	l.asBefore(t, before)
}

func (c badChange) alive(t *testing.T, l lab, before map[string]string) {
	if c.before != "" {
		l.in(t, victim, c.before)
	}
	began, guard := time.Now(), 120
	if c.lost == "" {
		guard = undoAfter()
	}
	_, out := l.red(t, "mesh", c.extra(guard, 3)...)
	if c.lost == "" {
		assert.Regexp(t, `it is gone: |timed out|Timeout|the change was taken back at`, out)
	} else {
		assert.Regexp(t, `its change cut off ([a-z]+-1,? )*`+c.lost+`.* so it was taken back: \w`, flat(out))
	}
	t.Logf("the run ended after %.1f s", time.Since(began).Seconds())
	if c.lost == "" {
		l.waitFor(t, victim, "! test -e /etc/wireguard/wgmesh-undo/journal.json")
	}
	if c.after != "" {
		l.in(t, victim, c.after)
	}
	l.back(t, before, time.Now())
}

// die makes the change, and kills the run when the router has changed and waits. On a machine that
// is slow only now, the guard's time may be over by then, so the next try has more.
func (c badChange) die(t *testing.T, l lab, guard, wait int) time.Time {
	t.Helper()
	for try := 1; ; try++ {
		died := l.killedIn(t, "Wait for the routers that worked with this one", "mesh", c.extra(try*guard, wait)...)
		if _, err := l.try(t, "exec", victim, "test -e /etc/wireguard/wgmesh-undo/journal.json"); err == nil {
			return died
		}
		require.Less(t, try, tries, "nothing was changed")
	}
}

func (c badChange) controllerDies(t *testing.T, l lab, before map[string]string) {
	died := c.die(t, l, undoAfter(), 60)
	one := l // the others would take time, and the guard has begun
	one.routers = []string{victim}
	assert.NotEqual(t, before[victim], one.everything(t)[victim], "nothing was changed")
	l.back(t, before, died)
	out, err := l.command(t, 10*time.Minute, "ansible", "-i", l.inventory(), victim, "-m",
		"wgmesh.router.mesh_guard", "-a", "state=confirmed")
	require.Error(t, err, out)
	assert.Contains(t, out, "the change was taken back at")
}

func rebootUndoes(t *testing.T, l lab) {
	const files = `cd /etc
		find wireguard bird sysctl.d wgmesh systemd -type f -exec stat -c '%n %a %u:%g %Y' {} + \
			-exec sha256sum {} + | sort
		find systemd -type l | sort; wg show all allowed-ips | tr ' ' '\n' | sort
		wg show all listen-port | sort; ip -4 -o addr | grep -v eth0 | awk '{print $2, $4}' | sort`
	l.waitFor(t, victim, whole(2))
	before := l.in(t, victim, files)
	badChange{variables: `"mesh_interface_prefix": "vpn", "mesh_port_base": 50800`}.die(t, l, 600, 60)
	l.powerCut(t, "a change waits", "true", 2)
	assert.Equal(t, before, l.in(t, victim, files))
	l.in(t, victim,
		"test ! -e /sys/class/net/vpn1 && test -z \"$(systemctl --failed --no-legend)\" && test ! -e "+
			"/etc/wireguard/wgmesh-undo")
}

// runAgain: the first change stays what it is compared with.
func runAgain(t *testing.T, l lab) {
	before := l.settled(t)
	bad := badChange{variables: `"mesh_link_pool": "172.30.0.0/16"`}
	guard := max(60, 4*undoAfter())
	bad.die(t, l, guard, guard)
	bad.lost = "two-1"
	_, out := l.red(t, "mesh", bad.extra(guard, 3)...)
	assert.Contains(t, out, "was taken back, because it cut off")
	l.asBefore(t, before)
}

// kept wants a change that nobody takes back any more.
func (l lab) kept(t *testing.T, routers ...string) {
	t.Helper()
	for _, r := range routers {
		l.in(t, r, "test ! -e /etc/wireguard/wgmesh-undo && test ! -e /etc/systemd/system/wgmesh-undo.service")
		l.waitFor(t, r, "! systemctl list-units --no-legend 'wgmesh-undo-*' | grep .")
	}
}

func otherNames(t *testing.T, l lab) {
	for _, prefix := range []string{"vpn", "wg"} {
		l.mesh(t, "-e", "mesh_interface_prefix="+prefix)
		l.kept(t, l.routers...)
		for _, r := range l.routers {
			assert.Equal(t, []string{prefix, prefix}, strings.Fields(l.in(t, r, "wg show interfaces | tr -d 0-9")), r)
		}
		assert.Empty(t, l.mesh(t, "-e", "mesh_interface_prefix="+prefix).changed())
	}
}

func keptWithoutOne(t *testing.T, l lab) {
	l.tool(t, "stop", "three-1")
	l.waitFor(t, victim, whole(1))
	_, out, err := l.play(t, "-e", `{"mesh_keepalive": 21, "mesh_wait": 120}`)
	require.Error(t, err, "a router is off, and the run is green")
	assert.Contains(t, out, "three-1")
	l.kept(t, victim, "two-1")
	for _, r := range []string{victim, "two-1"} {
		assert.NotContains(t, l.in(t, r, "wg show all persistent-keepalive | cut -f3"), "25", r)
	}
	l.tool(t, "start", "three-1")
	l.mesh(t)
}

func keptWithSick(t *testing.T, l lab) {
	l.in(t, "three-1", "systemctl stop bird; systemctl mask --runtime -q bird")
	l.waitFor(t, victim, whole(1))
	_, out, err := l.play(t, "-e", `{"mesh_keepalive": 22, "mesh_wait": 120}`)
	require.Error(t, err, "a router is sick, and the run is green")
	assert.Contains(t, out, "three-1")
	l.kept(t, victim, "two-1")
	for _, r := range []string{victim, "two-1"} {
		assert.Equal(t, []string{"22"},
			slices.Compact(strings.Fields(l.in(t, r, "wg show all persistent-keepalive | cut -f3"))), r)
	}
	l.in(t, "three-1", "systemctl unmask --runtime -q bird; systemctl start bird")
	l.mesh(t)
}
