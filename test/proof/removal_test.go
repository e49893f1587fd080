//go:build lab

package proof_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
)

// TestRemoval takes azure-1 out of a mesh of routers that join by themselves, by
// docs/taken-over.md, while office-2 is off. The page is followed line by line.
func TestRemoval(t *testing.T) {
	for try := 1; !removeOnce(t, try); try++ {
	}
}

// removeOnce returns false where packets were lost and sessions fell by themselves.
func removeOnce(t *testing.T, try int) bool {
	l := upFrom(t, "removal", "test/proof/testdata/removal.yml", "test/proof/testdata/join-image.yml")
	r := &removal{lab: l, whole: t, home: t.TempDir(), round: try}
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"five routers become one mesh by themselves", r.join},
		{"one liar says that aws-1 was removed, and nobody believes it", r.liar},
		{"azure-1 is taken away while office-2 is off", r.takeAway},
		{"it cannot call itself in again", r.callIn},
		{"office-2 is back and does the same by itself", r.comeBack},
		{"the others noticed nothing", r.unhurt},
		{"the rest of the page", r.rest},
	} {
		if !t.Run(step.name, step.run) {
			t.FailNow()
		}
		if r.again {
			return false
		}
	}
	return true
}

type removal struct {
	lab
	whole   *testing.T
	home    string // of who follows the page
	streams []*stream
	began   time.Time // of the streams
	spilt   map[string]int
	lines   []string // of the page, that are not run yet
	round   int
	again   bool // all of it has to be done once more
}

func (r *removal) join(t *testing.T) {
	r.introduce(t, "test/proof/testdata/removal.yml")
	r.onRouters(t, "systemctl start wgmesh-join.timer; systemctl start --no-block wgmesh-join.service")
	for _, name := range r.routers {
		joined := func() bool {
			_, err := r.try(t, "exec", name,
				`[ "$(birdc show protocols 2>/dev/null | grep -c Established)" = 4 ] && journalctl -q -u `+
					`wgmesh-join.service | grep -q "4 of 4"`)
			return err == nil
		}
		if !assert.Eventually(t, joined, 20*time.Minute, time.Second, "%s did not join", name) {
			t.Fatal(
				r.in(t, name,
					"journalctl -q -u wgmesh-join.service -o cat | tail -n 30; birdc show protocols; "+
						"wg show all latest-handshakes"))
		}
	}
	r.allPing(t)
	r.waitFor(t, "azure-1", knocks+` | grep -x 4`)
}

// others is everybody but azure-1, and office-2 while it is off.
func (r *removal) others(gone ...string) lab {
	l := r.lab
	l.routers = slices.DeleteFunc(slices.Clone(l.routers), func(name string) bool {
		return slices.Contains(gone, name)
	})
	return l
}

func (r *removal) liar(t *testing.T) {
	others := r.others("azure-1")
	r.in(t, "azure-1", `cp /etc/wgmesh/gate.json /root/honest
		sed -i 's/"removed": \[\]/"removed": [{"name":"aws-1","id":4,"by":"mesh"},`+
		`{"name":"office-2","id":2,"by":"inventory"}]/' /etc/wgmesh/gate.json
		grep -q '"removed": \[{"name":"aws-1"' /etc/wgmesh/gate.json`)
	before, sessions := others.states(t), r.sessions(t)
	for _, name := range []string{"office-1", "gcp-1"} {
		status, said := r.lab.join(t, name)
		assert.Equal(t, "0", status, said)
		assert.Contains(t, said, "aws-1 was removed from the mesh, says azure-1, which is not believed")
		assert.Contains(t, said, "4 of 4 peers, nothing changed")
	}
	others.unchanged(t, before)
	r.undisturbed(t, sessions)
	r.in(t, "azure-1", "cat /root/honest > /etc/wgmesh/gate.json")
}

func (r *removal) takeAway(t *testing.T) {
	r.tool(t, "stop", "office-2")
	hosts := r.addresses(t)
	r.waitFor(t, "aws-1", "! birdc show bfd sessions | grep -q 'wg5.*Up'") // 2-4
	var nodes []string
	for _, n := range r.nodes {
		if hosts[n].Site != "azure" {
			nodes = append(nodes, n)
		}
	}
	require.Len(t, nodes, 3)
	r.spilt = r.spills(t, "office-1", "aws-1", "gcp-1")
	r.began = time.Now() // and the streams end with the whole test, not with this step
	for _, from := range nodes {
		for _, to := range nodes {
			if hosts[from].Site != hosts[to].Site {
				r.streams = append(r.streams, r.streamEvery(r.whole, "0.1", from, to))
			}
		}
	}

	r.lines = page(t, filepath.Join(r.root, "docs/taken-over.md"))
	require.NoError(t, os.MkdirAll(filepath.Join(r.home, ".ssh"), 0o700))
	must.Write(t, filepath.Join(r.home, ".ssh/known_hosts"),
		"azure-1 ssh-ed25519 AAAA\n203.0.113.11 ssh-ed25519 AAAA\n", 0o600)

	r.follow(t, 1) // absent
	line := r.lines[0]
	require.Contains(t, line, "wgmesh.router.mesh")
	out, err := r.run(t, line)
	require.Error(t, err, "a run that did not reach office-2 must not end green")
	assert.Equal(t, 1,
		strings.Count(out, "office-2: still has the tunnel to azure-1; run again when it is back"), tail(out))
	assert.Regexp(t, `office-2 +: ok=\d+ +changed=\d+ +unreachable=1`, out)
	r.lines = r.lines[1:]
	r.gone(t, r.others("azure-1", "office-2"))
}

// gone looks for anything that is left of azure-1 but the entry that keeps it out,
// and the inventory that has not been mended yet.
func (r *removal) gone(t *testing.T, l lab) {
	t.Helper()
	number := map[string]string{"office-1": "wg2", "office-2": "wg3", "aws-1": "wg6", "gcp-1": "wg9"}
	key := r.in(t, "azure-1", "wg pubkey < /etc/wireguard/wgmesh.key")
	identityKey := strings.Fields(r.in(t, "azure-1", "cat "+identity+".pub"))[1]
	for name, left := range l.onRouters(t, fmt.Sprintf(`
		grep -rsl -e azure-1 -e azure_1 -e '%[1]s' -e '%[2]s' \
			/etc /run/bird /run/wgmesh /var/lib/wgmesh/inventory.json |
			grep -v -e /etc/wgmesh/inventory.yml -e inventory.json -e gate.json
		wg show all | grep '%[1]s'; birdc show protocols | grep azure
		ls /etc/wireguard/wgmesh-psk; ls /sys/class/net
		systemctl list-units --all --plain --no-legend 'wg-quick@*' | cut -d' ' -f1
		echo; grep -c '"name": "azure-1"' /etc/wgmesh/gate.json`, key, identityKey)) {
		assert.NotRegexp(t, `azure|/etc/`, left, name)
		n := strings.TrimPrefix(number[name], "wg")
		assert.NotRegexp(t,
			regexp.MustCompile(`(?m)^(wg`+n+`|`+n+`\.(psk|json)|wg-quick@wg`+n+`\.service)$`), left, name)
		assert.Regexp(t, `\n1\n$`, left, "%s: gate.json says who is out, once", name)
	}
}

// knocks pings the other ends of all tunnels and counts who answers.
const knocks = `n=0
for a in $(birdc show protocols all | sed -n 's/.*Neighbor address: *\([0-9.]*\).*/\1/p'); do
	ping -q -c 2 -W 1 $a >/dev/null && n=$((n+1))
done; echo $n`

func (r *removal) callIn(t *testing.T) {
	others := r.others("azure-1", "office-2")
	before := others.states(t)
	// By its own program, with its old inventory, keys and SSH identity.
	status, said := r.lab.join(t, "azure-1")
	assert.Equal(t, "75", status)
	for _, name := range others.routers {
		assert.Contains(t, said, name+": refused the key of azure-1")
	}
	// By hand, past sshd: what a connection that was open before could still do.
	for _, name := range others.routers {
		out := r.in(t, name, `key=$(wg genkey | wg pubkey); for state in known peered; do
			echo '{"_ansible_module_name": "wgmesh.router.mesh_peer", "state": "'$state'", `+
			`"public_key": "'$key'", "sealing_key": "x"}' | /usr/local/bin/wgmesh gate azure-1 || true; done`)
		assert.Equal(t, 2,
			strings.Count(out, `"msg":"`+name+" has no tunnel to azure-1, which was removed from the mesh"), out)
	}
	// With packets: its tunnels are up at its own end.
	assert.Equal(t, "0", r.in(t, "azure-1", knocks))
	// The inventories of the others are as old as ever: their own joins do not bring it back either.
	for name, said := range r.others("azure-1", "office-1", "office-2").joins(t) {
		assert.Contains(t, said, "azure-1 is left out: it was removed from the mesh, by a run of the mesh play")
		assert.Contains(t, said, "not with office-2")
		assert.NotContains(t, said, "azure-1: ", "%s called it", name)
	}
	others.unchanged(t, before)
	r.gone(t, others)
}

func (r *removal) comeBack(t *testing.T) {
	began := time.Now()
	r.tool(t, "start", "office-2")
	r.waitFor(t, "office-2", // two are enough where the third is late
		`journalctl -q -b -u wgmesh-join.service | `+
			`grep -Eq "azure-1 was removed from the mesh, say .* \(([23]) of the \1 that answered\)"`)
	r.waitFor(t, "office-2",
		`journalctl -q -b -u wgmesh-join.service | grep -q "office-2 is in the mesh: 3 of 3 peers"`)
	t.Logf("office-2 is back, and has ended azure-1's tunnel, after %v", time.Since(began).Round(time.Second))
	r.gone(t, r.others("azure-1"))
	for _, name := range r.others("azure-1").routers {
		r.waitFor(t, name, `[ "$(birdc show protocols | grep -c Established)" = 3 ]`)
	}
	// Its own next join, with the same old inventory, keeps it so.
	_, said := r.lab.join(t, "office-2")
	assert.Contains(t, said, "azure-1 is left out: it was removed from the mesh, as most of the others say")
	assert.Contains(t, said, "3 of 3 peers, nothing changed")
	status, _ := r.lab.join(t, "azure-1")
	assert.Equal(t, "75", status)
	r.gone(t, r.others("azure-1"))
}

func (r *removal) unhurt(t *testing.T) {
	lost := 0
	for _, s := range r.streams {
		s.stop(t)
		lost += s.lost(t)
	}
	fell := append(r.flaps(t, r.began, "office-1", "aws-1", "gcp-1"), r.spilled(t, r.spilt, r.streams...)...)
	r.again = lost > 0 && onceMore(t, r.round, fell)
	for _, s := range r.streams {
		require.Greater(t, len(s.answers(t)), 100)
		assert.True(t, r.again || s.lost(t) == 0, "%s: lost %s", s.name, outage.Losses(s.answers(t)))
	}
}

// rest follows the page from where it was left, with every router in reach.
func (r *removal) rest(t *testing.T) {
	sessions := r.others("azure-1").sessions(t)
	r.patience(t)
	r.follow(t, len(r.lines))
	r.others("azure-1").undisturbed(t, sessions)
	r.gone(t, r.others("azure-1"))
	for name, said := range r.others("azure-1").joins(t) {
		assert.NotContains(t, said, "left out", name)
		assert.Contains(t, said, "3 of 3 peers, nothing changed", name)
	}
	// Only the mesh play, with an inventory that says so, lets it in again.
	for name, text := range r.others("azure-1").onRouters(t,
		"sed -i 's/mesh_state: absent, //' /etc/wgmesh/inventory.yml; cat /etc/wgmesh/inventory.yml") {
		assert.NotContains(t, text, "absent", name)
	}
	r.others("azure-1").joins(t)
	r.gone(t, r.others("azure-1"))
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(r.inventory()), "host_vars/azure-1.yml")))
	r.mesh(t)
	r.allPing(t)
}

// patience has the page's plays wait for what a busy machine is late with, as mesh does.
func (r *removal) patience(t *testing.T) {
	t.Helper()
	folder := filepath.Join(filepath.Dir(r.inventory()), "group_vars")
	must.Write(t, filepath.Join(folder, "routers.yml"), "mesh_settle: 60\n", 0o644)
}

// joins runs the unit on every router, all at once.
func (l lab) joins(t *testing.T) map[string]string {
	t.Helper()
	return l.atOnce(func(router string) (string, bool) {
		_, said := l.join(t, router)
		return said, true
	})
}

// page lists the commands of a page: the lines of its blocks of the kind console
// that begin with "$ ".
func page(t *testing.T, path string) []string {
	t.Helper()
	text := must.Get(os.ReadFile(path))(t)
	var out []string
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if command, found := strings.CutPrefix(strings.TrimSpace(line), "$ "); found {
				out = append(out, command)
			}
		}
	}
	require.NotEmpty(t, out)
	return out
}

// run runs a line of the page in the folder of the inventory.
func (r *removal) run(t *testing.T, line string) (string, error) {
	t.Helper()
	t.Logf("$ %s", line)
	return r.command(t, 20*time.Minute, "bash", "-c",
		fmt.Sprintf("cd %s && HOME=%s && %s", filepath.Dir(r.inventory()), r.home, line))
}

// follow runs the next lines of the page, which must all be well.
func (r *removal) follow(t *testing.T, lines int) {
	t.Helper()
	for _, line := range r.lines[:lines] {
		began := time.Now()
		out, err := r.run(t, line)
		if err != nil && strings.HasSuffix(line, "wgmesh.router.status") && // it looks as a session falls
			onceMore(t, 1, r.flaps(t, began, r.others("azure-1").routers...)) {
			r.others("azure-1").waitHealthy(t)
			out, err = r.run(t, line)
		}
		require.NoError(t, err, "$ %s\n%s", line, tail(out))
	}
	r.lines = r.lines[lines:]
}
