//go:build lab

package proof_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// A secret is a key that exists on one or two routers. It is never printed.
type secret struct {
	text  string
	kind  string
	homes []string // routers that may hold it
}

// secrets reads every key that exists in the lab, past SSH.
func (l lab) secrets(t *testing.T) []secret {
	t.Helper()
	byText := map[string]*secret{}
	var order []string
	for _, r := range l.routers {
		out := l.in(t, r,
			`cd /etc/wireguard && for f in wgmesh.key wgmesh.seal wgmesh-psk/*.psk; `+
				`do echo "$f $(tr -d '\n' < $f)"; done`)
		for line := range strings.Lines(out) {
			file, text, ok := strings.Cut(strings.TrimSpace(line), " ")
			require.True(t, ok && len(text) >= 40, "%s: %s holds no key", r, file)
			if byText[text] == nil {
				byText[text] = &secret{text: text, kind: file}
				order = append(order, text)
			}
			byText[text].homes = append(byText[text].homes, r)
		}
	}
	var all []secret
	for _, text := range order {
		all = append(all, *byText[text])
	}
	return all
}

func killedRun(t *testing.T, l lab) {
	for _, task := range []string{
		"Make and seal the pre-shared keys", "Open the keys, and set up forwarding", "Keep the change of this router",
	} {
		l.killedIn(t, task, "mesh", slices.Concat(patient, []string{"-e", "mesh_rotate_preshared_keys=true"})...)
	}
	l.mesh(t)
	l.allPing(t)
}

func canary(t *testing.T, l lab) {
	old := l.secrets(t) // of the killed runs and all before
	_, transcript, err := l.play(t, "-vvvvv", "--diff", "-e", "mesh_rotate_preshared_keys=true", "-e", "mesh_settle=60")
	require.NoError(t, err, "the rotating run failed")
	all := append(old, l.secrets(t)...)

	patterns := &bytes.Buffer{}
	for _, s := range all {
		if strings.Contains(transcript, s.text) {
			t.Errorf("a secret of %s (%s) is in the transcript", s.homes[0], s.kind)
		}
		patterns.WriteString(s.text + "\n")
	}
	l.grepController(t, patterns.String())
	l.grepRouters(t, all)
}

// grepController looks for secrets in what the controller keeps.
func (l lab) grepController(t *testing.T, patterns string) {
	t.Helper()
	home := must.Get(os.UserHomeDir())(t)
	places := []string{filepath.Join(home, ".ansible"), filepath.Join(l.root, "examples"), l.inventory(), os.TempDir()}
	for _, place := range places {
		if _, err := os.Stat(place); err != nil {
			continue
		}
		// The lab keeps the routers' own files in a folder called hosts, and Go what it
		// compiles for the other tests in one of its own.
		assert.Empty(t,
			grep(t, patterns, "grep", "-rlsF", "--devices=skip", "--exclude-dir=hosts", "--exclude-dir=go-build*",
				"-f", "-", place),
			"files of the controller that hold a secret")
	}
}

// grepRouters looks for secrets outside of /etc/wireguard, and for those of others inside of it.
func (l lab) grepRouters(t *testing.T, all []secret) {
	t.Helper()
	for _, r := range l.routers {
		var own, foreign strings.Builder
		for _, s := range all {
			if slices.Contains(s.homes, r) {
				own.WriteString(s.text + "\n")
			} else {
				foreign.WriteString(s.text + "\n")
			}
		}
		// What the image has is older than the host.
		search := []string{"build/lab-tool", "exec", "--name", l.name, r, `set -f; IFS='
'; grep -lsF -f - $(find /etc /root /var /tmp /run /usr/local -type f -cnewer /etc/hostname)`}
		assert.Empty(t, l.grep(t, foreign.String(), search...), "%s: files that hold another router's secret", r)
		found := l.grep(t, own.String(), search...)
		assert.Contains(t, found, "/etc/wireguard/wgmesh.key", "%s: the search does not find what is there", r)
		for file := range strings.Lines(found) {
			assert.True(t, strings.HasPrefix(file, "/etc/wireguard/"), "%s: a secret is in %s", r, file)
		}
	}
}

func (l lab) grep(t *testing.T, patterns string, command ...string) string {
	t.Helper()
	return grep(t, patterns, append([]string{filepath.Join(l.root, command[0])}, command[1:]...)...)
}

// grep runs a search with the patterns on its standard input, so that no
// secret is written down or stands in a list of processes.
func grep(t *testing.T, patterns string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(patterns)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() <= 2 {
		assert.Empty(t, string(exit.Stderr), "the search itself went wrong")
		err = nil // 1: nothing found; 2 and silent: a file went away meanwhile
	}
	require.NoError(t, err)
	return string(out)
}

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
