//go:build lab

package proof_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
)

// asks is a shell command that asks a health port and prints the first line of what it
// is told, or "nothing" after some seconds.
func asks(address string, seconds int) string {
	return fmt.Sprintf(
		`timeout %d bash -c 'exec 3<>/dev/tcp/%s/8179; printf "GET / HTTP/1.1\r\n\r\n" >&3; read -r line <&3; `+
			`echo "$line"' 2>/dev/null || echo nothing`, seconds, address)
}

// silence opens a health port 40 times, says nothing, and does so again every second,
// until /run/enough is there.
func silence(address string) string {
	return fmt.Sprintf(
		`timeout 600 bash -c 'until [ -e /run/enough ]; do for fd in $(seq 10 49); `+
			`do eval "exec $fd<>/dev/tcp/%s/8179"; done; sleep 1; done' >/dev/null 2>&1; true`, address)
}

// closeTunnels has all that is played in a lab from now on close its tunnels to what
// the mesh does not need.
func (l lab) closeTunnels(t *testing.T) {
	t.Helper()
	folder := filepath.Join(filepath.Dir(l.inventory()), "group_vars")
	must.Write(t, filepath.Join(folder, "routers.yml"), "mesh_tunnel_input: mesh\n", 0o644)
}

// tunnelsClosed asks for sshd, which answers all addresses of a router.
func tunnelsClosed(t *testing.T, l lab) {
	azure := l.addresses(t)["azure-1"].Address
	const sshd = `timeout %d bash -c 'read -r line </dev/tcp/%s/22; echo "$line"' 2>/dev/null || echo nothing`
	assert.Contains(t, l.in(t, "node-azure-1", fmt.Sprintf(sshd, 60, azure)), "SSH-2.0",
		"the site's own nodes reach it")
	for _, host := range []string{"office-1", "node-office-hq"} {
		assert.Equal(t, "nothing", l.in(t, host, fmt.Sprintf(sshd, 3, azure)), host)
	}
	assert.Contains(t,
		l.in(t, "office-1", fmt.Sprintf(sshd, 60, l.addresses(t)["node-azure-1"].Address)),
		"SSH-2.0", "what is forwarded is not touched")
}

// balancerStarved has one of those who are answered hold the health port of azure-1,
// which goes on answering others, and nobody who comes out of a tunnel.
func balancerStarved(t *testing.T, l lab) {
	azure := l.addresses(t)["azure-1"].Address
	assert.Contains(t, l.in(t, "node-azure-1", asks(azure, 60)), "HTTP/1.1 200 OK",
		"router_health_sources has its address")
	link := l.in(t, "azure-1", `ip -o -4 addr show wg6 | awk '{sub("/.*", "", $4); print $4}'`) // to azure-2
	var all sync.WaitGroup
	for host, address := range map[string]string{"office-1": azure, "node-office-hq": azure, "azure-2": link} {
		all.Go(func() {
			out, err := l.try(t, "exec", host, asks(address, 3))
			assert.NoError(t, err, host)
			assert.Equal(t, "nothing\n", out,
				"%s asks out of a tunnel; router_health_sources has its address, too", host)
		})
	}
	all.Wait()

	silent := make(chan struct{})
	go func() {
		defer close(silent)
		_, _ = l.try(t, "exec", "node-azure-1", silence(azure))
	}()
	l.waitFor(t, "azure-1", `[ "$(ss -Htn state established '( sport = 8179 )' | wc -l)" -ge 2 ]`)
	out := l.in(t, "azure-1", "for n in $(seq 12); do "+asks("127.0.0.1", 60)+"; sleep 0.5; done")
	assert.Equal(t, 12, strings.Count(out, "200 OK"),
		"questions that were answered while another one holds the port:\n%s", out)
	l.in(t, "node-azure-1", "touch /run/enough")
	<-silent
	l.in(t, "node-azure-1", "rm /run/enough")
	assert.Equal(t, "active", l.in(t, "azure-1", "systemctl is-active wgmesh-health.socket"))
	assert.NotContains(t, l.in(t, "azure-1", "cat /etc/systemd/system/wgmesh-health@.service"),
		"Groups=", "who may ask BIRD may also configure it")
}

// tablesFlushed has the distribution's own service flush the tables of a router.
func tablesFlushed(t *testing.T, l lab) {
	const tables = "nft list tables | sort"
	want := l.in(t, "azure-1", tables)
	for _, table := range []string{"wgmesh", "wgmesh_metadata", "wgmesh_health"} {
		assert.Contains(t, want+"\n", "table inet "+table+"\n")
	}
	for _, verb := range []string{"start", "reload", "restart", "stop"} {
		l.in(t, "azure-1", "grep -q 'flush ruleset' /etc/nftables.conf && systemctl "+verb+" nftables")
		assert.Subset(t, strings.Split(l.in(t, "azure-1", tables), "\n"), strings.Split(want, "\n"),
			"after systemctl %s nftables", verb)
	}

	l.in(t, "azure-1", "nft delete table inet wgmesh; nft delete table inet wgmesh_metadata")
	_, out, err := l.playbook(t, "status", "--limit", "azure-1")
	assert.Error(t, err)
	for _, table := range []string{
		"wgmesh is not loaded, so TCP may hang", "wgmesh_metadata is not loaded, so what is forwarded",
	} {
		assert.Contains(t, strings.Join(strings.Fields(out), " "), "table inet "+table)
	}
	l.in(t, "azure-1", "nft -f /etc/wireguard/wgmesh.nft; nft -f /etc/wgmesh/metadata.nft")
	l.waitHealthy(t)
	_, out = l.green(t, "status", "--limit", "azure-1")
	show := exec.CommandContext(t.Context(), "../demo/table") // as make demo does, which no CI runs
	show.Stdin = strings.NewReader(out)
	shown := must.Run(t, show)
	assert.Regexp(t, `(?m)^  azure-1$`, shown)
	assert.Contains(t, shown, "Established")
}

// accountBounded looks at what the account of the other routers may take and open.
func accountBounded(t *testing.T, l lab) {
	slice := l.in(t, "azure-1", "echo user-$(id -u wgmesh).slice")
	assert.Equal(t, "268435456\n256",
		l.in(t, "azure-1", "systemctl show --value -p MemoryMax -p TasksMax "+slice+" | sort -rn"))
	// That they are kept is systemd's and the kernel's; a lab's host has no controllers.
	assert.Equal(t, "-900", l.in(t, "azure-1", "systemctl show --value -p OOMScoreAdjust bird"))
	tunnel := l.in(t, "azure-1", "systemctl show --value -p LimitCORE -p MemorySwapMax wg-quick@wg6 | sort")
	assert.Equal(t, "0\n0", tunnel, "a core dump, or swap, of a process with keys")

	l.in(t, "azure-1",
		"printf 'AuthorizedKeysCommand /bin/cat /root/elsewhere\nAuthorizedKeysCommandUser root\n"+
			"TrustedUserCAKeys /root/ca.pub\n' >/etc/ssh/sshd_config.d/10-cloud.conf")
	settings := l.in(t, "azure-1",
		"sshd -T -C user=wgmesh,host=x,addr=192.0.2.11 | grep -iE "+
			"'^(authorizedkeyscommand|trustedusercakeys|authorizedprincipalsfile|maxsessions) '")
	assert.Equal(t,
		[]string{
			"authorizedkeyscommand none", "authorizedprincipalsfile none", "maxsessions 1",
			"trustedusercakeys none",
		}, slices.Sorted(strings.SplitSeq(settings, "\n")))
	l.in(t, "azure-1", "rm /etc/ssh/sshd_config.d/10-cloud.conf")
	out, err := l.try(t, "exec", "azure-1", "su wgmesh -c id")
	assert.Error(t, err)
	assert.NotContains(t, out, "uid=")
}
