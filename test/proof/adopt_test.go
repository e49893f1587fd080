//go:build lab

package proof_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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
)

// byHandSites are the sites as an administrator knows them.
var byHandSites = map[string]struct {
	as      int
	network string
}{"office": {65010, "10.0.0.0/16"}, "azure": {65020, "10.1.0.0/16"}, "aws": {65030, "10.2.0.0/16"}, "gcp": {
	65040, "10.3.0.0/16",
}}

// TestFailoverAdopt has a network made by hand adopted, while every pair of sites exchanges packets:
// the inventory is written, the mesh play takes all over, and its second run changes nothing.
// The network is that of TestRemoval, or ADOPT: make adopt takes the case's.
func TestFailoverAdopt(t *testing.T) {
	l := up(t, "adopt", cmp.Or(os.Getenv("ADOPT"), "test/proof/testdata/removal.yml"))
	hosts := l.addresses(t)
	l.makeByHand(t, hosts)
	keys := l.onRouters(t, "wg show all public-key | sort")
	var streams []*stream
	l.reachAll(t, hosts)
	for _, from := range l.nodes {
		for _, to := range l.nodes {
			if hosts[from].Site != hosts[to].Site {
				streams = append(streams, l.stream(t, from, to))
			}
		}
	}
	folder := t.TempDir()
	reached, written := filepath.Join(folder, "hosts.json"), filepath.Join(folder, "mesh.yml")
	l.reached(t, reached)
	play := func(args ...string) string {
		t.Helper()
		out, err := l.command(t, 20*time.Minute, "ansible-playbook",
			append([]string{"-i", reached, "-e", "mesh_settle=60"}, args...)...)
		require.NoError(t, err, tail(out))
		return out
	}
	out := play("wgmesh.router.adopt", "-e", "mesh_adopt_file="+written)
	assert.NotContains(t, out, "not expressed", "all of this network can be expressed")
	t.Logf("%s", must.Get(os.ReadFile(written))(t))
	over := []string{
		"-i", written, "wgmesh.router.mesh", "-e", "mesh_take_over=true", "-e",
		`{"mesh_accept": ["bird"]}`,
	}
	out, err := l.command(t, 20*time.Minute, "ansible-playbook",
		append([]string{"-i", reached, "--limit", l.routers[0]}, over...)...)
	require.Error(t, err, tail(out))
	assert.Contains(t, out, "nothing is taken over: ")
	assert.NotContains(t, l.onRouters(t, "ls /etc/wireguard")[l.routers[0]], ".by-hand")
	// And whoever forgets mesh_accept has half of it, and goes on with it.
	out, err = l.command(t, 20*time.Minute, "ansible-playbook",
		append([]string{"-i", reached}, over[:len(over)-2]...)...)
	require.Error(t, err, tail(out))
	assert.Contains(t, out, "set mesh_accept to [bird]")
	play(over...)
	sent := 0
	for _, s := range streams {
		s.end()
		sent += len(s.answers(t))
		assert.Zero(t, s.lost(t), "%s: packets lost", s.name)
	}
	t.Logf("%d packets answered, %d streams", sent, len(streams))
	assert.Equal(t, keys, l.onRouters(t, "wg show all public-key | sort"),
		"the keys are those that were there, and so are the interfaces")
	again := play("-i", written, "wgmesh.router.mesh")
	assert.NotRegexp(t, `changed=[1-9]`, again, "the second run changes nothing")
	l.onRouters(t, noCopies)

	// What it leaves when it is cut off before BIRD is at rest.
	router := l.routers[0]
	l.in(t, router, `set -e; ip route add 198.18.0.0/24 dev lo proto 159 metric 31
		ip -6 route add 2001:db8:9::/64 dev lo proto 159 metric 50000
		systemd-run -q --collect --unit=wgmesh-taken --on-active=1800 true`)
	page := string(must.Get(os.ReadFile("../../docs/adopt.md"))(t))
	reset := []string{"wgmesh.router.reset", "-e", "mesh_reset_all=true", "-e", "mesh_reset_force=true"}
	assert.Contains(t, page, "-i hosts.yml -i mesh.yml "+strings.Join(reset, " ")+"\n")
	assert.Contains(t, page, "-m raw -a '"+wayBack+"'\n")
	play(append([]string{"-i", written}, reset...)...)
	l.in(t, router, noCopies+` && test -n "$(ip -6 route show 2001:db8:9::/64)" && `+
		`! systemctl is-active wgmesh-taken.timer`)
	l.onRouters(t, wayBack)
	assert.Equal(t, keys, l.onRouters(t, "wg show all public-key | sort"), "all is by hand again")
	l.onRouters(t, `! grep -l wgmesh /etc/wireguard/* /etc/bird/bird.conf &&
		grep -q "^template bgp peer" /etc/bird/bird.conf`)
	l.reachAll(t, hosts)
}

// wayBack is what docs/adopt.md has people run after the reset.
const wayBack = `cd /etc/wireguard && for f in *.conf.by-hand; do [ ! -e $f ] || ` +
	`{ [ ! -e ${f%.by-hand} ] || { echo $f and ${f%.by-hand} are both there: move one away; false; } && ` +
	`mv $f ${f%.by-hand} && systemctl enable -q --now wg-quick@${f%.conf.by-hand}; } || exit 1; done; ` +
	`sysctl -qw net.ipv4.ip_forward=1; systemctl try-restart bird`

// reachAll waits until each node reaches all of the other sites.
func (l lab) reachAll(t *testing.T, hosts map[string]node) {
	t.Helper()
	for _, from := range l.nodes {
		for _, to := range l.nodes {
			if hosts[from].Site != hosts[to].Site {
				l.in(t, from,
					fmt.Sprintf("for i in $(seq 90); do ping -c 1 -W 1 %s >/dev/null && exit 0; sleep 1; done; exit 1",
						hosts[to].Address))
			}
		}
	}
}

const noCopies = `test -z "$(ip route show proto 159)" && test -z "$(ip -6 route show proto 159)"`

// reached writes an inventory that says how the routers are reached, and nothing else.
func (l lab) reached(t *testing.T, file string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ansible-inventory", "-i", l.inventory(), "--list")
	out := must.Get(cmd.Output())(t)
	var list struct {
		Meta struct {
			Hostvars map[string]map[string]any `json:"hostvars"`
		} `json:"_meta"`
	}
	require.NoError(t, json.Unmarshal(out, &list))
	hosts := map[string]any{}
	for _, r := range l.routers {
		vars := map[string]any{}
		for name, value := range list.Meta.Hostvars[r] {
			if strings.HasPrefix(name, "ansible_") {
				vars[name] = value
			}
		}
		hosts[r] = vars
	}
	text := must.Get(json.Marshal(map[string]any{"routers": map[string]any{"hosts": hosts}}))(t)
	require.NoError(t, os.WriteFile(file, text, 0o600))
}

// makeByHand builds the network as the case's article has it, with names, ports and
// addresses that nothing of ours would choose.
func (l lab) makeByHand(t *testing.T, hosts map[string]node) {
	t.Helper()
	public := l.onRouters(t, `umask 077; mkdir -p /etc/wireguard; wg genkey >/root/hand.key; wg pubkey </root/hand.key`)
	scripts, neighbors := map[string]*strings.Builder{}, map[string]*strings.Builder{}
	for _, r := range l.routers {
		scripts[r], neighbors[r] = &strings.Builder{}, &strings.Builder{}
		fmt.Fprintln(scripts[r], "set -e; umask 077; K=$(cat /root/hand.key)")
	}
	n := 0
	for i, a := range l.routers {
		for _, b := range l.routers[i+1:] {
			n++
			shared := sha256.Sum256(fmt.Appendf(nil, "by hand %d", n))
			for _, end := range []struct {
				mine, theirs string
				at, far      int
			}{{a, b, 11, 12}, {b, a, 12, 11}} {
				site := hosts[end.mine].Site
				allowed := fmt.Sprintf("172.31.%d.0/24", n)
				for name, s := range byHandSites {
					if name != site || site == hosts[end.theirs].Site {
						allowed += ", " + s.network
					}
				}
				fmt.Fprintf(scripts[end.mine], `cat >/etc/wireguard/wg-%[1]s.conf <<END
[Interface]
PrivateKey = $K
Address = 172.31.%[2]d.%[3]d/24
ListenPort = %[4]d
MTU = 1340
Table = off

[Peer] # %[1]s
PublicKey = %[5]s
PresharedKey = %[6]s
Endpoint = %[7]s:%[4]d
AllowedIPs = %[8]s
PersistentKeepalive = 60
END
systemctl enable -q --now wg-quick@wg-%[1]s
`, end.theirs, n, end.at, 41000+n, strings.TrimSpace(public[end.theirs]),
					base64.StdEncoding.EncodeToString(shared[:]), hosts[end.theirs].Endpoint, allowed)
				fmt.Fprintf(neighbors[end.mine], "protocol bgp to_%s from peer { neighbor 172.31.%d.%d as %d; }\n",
					strings.ReplaceAll(end.theirs, "-", "_"), n, end.far, byHandSites[hosts[end.theirs].Site].as)
			}
		}
	}
	for i, r := range l.routers {
		s := byHandSites[hosts[r].Site]
		fmt.Fprintf(scripts[r], `rm /root/hand.key
DEV=$(ip -o -4 addr show | awk '$4 ~ /^%[5]s/ {print $2; exit}')
WAY=$(ip -o -4 addr show dev $DEV | awk '{split($4, a, "."); print a[1] "." a[2] "." a[3] ".1"; exit}')
cat >/etc/bird/bird.conf <<END
log syslog all;
router id 172.31.255.%[1]d;
protocol device { }
protocol kernel { ipv4 { import none; export all; }; }
protocol static home { ipv4; route %[2]s via $WAY%%$DEV onlink; }
template bgp peer { local as %[3]d; ipv4 { import all; export all; next hop self; }; }
%[4]sEND
chmod 644 /etc/bird/bird.conf
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done
systemctl enable -q bird; systemctl restart bird
`, i+1, s.network, s.as, neighbors[r].String(), strings.ReplaceAll(strings.TrimSuffix(s.network, "0.0/16"), ".", `\.`))
		l.in(t, r, scripts[r].String())
	}
}
