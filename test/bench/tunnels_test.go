//go:build kernel

package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	runs  = flag.Int("runs", 5, "how often; medians are printed")
	count = flag.Int("tunnels", 200, "of the router; 20 or more")
)

// TestTwoHundred measures wg_tunnel against wg-quick and wg on one router of 200 tunnels,
// with the files that wg_tunnel writes.
func TestTwoHundred(t *testing.T) {
	// wg-quick takes each by itself and as long for each, so of those it gets some, and its
	// time is multiplied.
	many, some := *count, *count/10
	b := bench{t: t, took: map[string][]time.Duration{}}
	require.NoError(t, os.MkdirAll("/etc/wireguard", 0o700))
	b.sh("umask 077; wg genkey >/etc/wireguard/wgmesh.key")
	b.public = strings.Fields(b.sh(fmt.Sprintf("for i in $(seq %d); do wg genkey | wg pubkey; done", many)))
	each := fmt.Sprintf("for i in $(seq %d); do ", some)
	sync := each + "wg syncconf wg$i <(wg-quick strip wg$i) || exit 1; done"
	for range *runs {
		b.timed("create", func() { b.tunnels("10.0.0.0/8", true) })
		b.timed("check", func() { b.tunnels("10.0.0.0/8", false) })
		b.timed("change", func() { b.tunnels("10.0.0.0/9", true) })
		b.remove(many)
		b.timed("up", func() { b.sh(each + "wg-quick up wg$i 2>/dev/null || exit 1; done") })
		b.timed("sync", func() { b.sh(sync) })
		b.sh("sed -i 's|10.0.0.0/9|10.0.0.0/8|' /etc/wireguard/wg2.conf")
		b.timed("sync one", func() { b.sh(sync) })
		b.remove(some)
		b.sh("rm /etc/wireguard/wg*.conf")
	}
	fmt.Printf("%d tunnels on one router, the kernel's WireGuard, in an emulated machine; medians of %d.\n",
		many, *runs)
	fmt.Printf("wg-quick and wg had %d of them, and their seconds are %d times what they took.\n", some, many/some)
	fmt.Printf("| %-12s | %10s | %-34s | %10s | %6s |\n|---|--:|---|--:|--:|\n", "", "wg_tunnel", "", "", "ratio")
	for _, row := range [][3]string{
		{"create", "up", "wg-quick up, for each"},
		{"check", "sync", "wg syncconf, for each"},
		{"change", "sync one", "wg syncconf, for each"},
	} {
		ours, theirs := b.median(row[0]), b.median(row[1])*time.Duration(many/some)
		fmt.Printf("| %-12s | %8.2f s | %-34s | %8.2f s | 1/%-4.1f |\n", row[0], ours.Seconds(),
			row[2], theirs.Seconds(), float64(theirs)/float64(ours))
	}
}

type bench struct {
	t      *testing.T
	public []string
	took   map[string][]time.Duration
}

func (b *bench) timed(what string, do func()) {
	from := time.Now()
	do()
	took := time.Since(from)
	b.took[what] = append(b.took[what], took)
	// What a test prints comes when it ends, which is long after.
	_ = os.WriteFile("/dev/console", fmt.Appendf(nil, "%s: %.2f s\n", what, took.Seconds()), 0)
}

func (b *bench) median(what string) time.Duration {
	slices.Sort(b.took[what])
	return b.took[what][len(b.took[what])/2]
}

func (b *bench) sh(script string) string {
	b.t.Helper()
	out, err := exec.Command("bash", "-c", script).CombinedOutput()
	require.NoError(b.t, err, "%s: %s", script, out)
	return string(out)
}

// remove takes the interfaces away, and leaves the files.
func (b *bench) remove(n int) {
	b.sh(fmt.Sprintf("for i in $(seq %d); do echo link del wg$i; done | ip -batch -", n))
}

// tunnels has wg_tunnel make them so; networks are those behind the peer of wg2.
func (b *bench) tunnels(networks string, changed bool) {
	b.t.Helper()
	var list []any
	keys := map[string]string{}
	for i, key := range b.public {
		n, allowed := i+1, "10.200.0.0/16"
		if n == 2 {
			allowed = networks
		}
		peer := fmt.Sprintf("router-%d", n)
		keys[peer] = key
		list = append(list, map[string]any{
			"name": fmt.Sprintf("wg%d", n), "listen_port": 51800 + n,
			"addresses": []string{fmt.Sprintf("198.18.%d.%d/31", n/128, n%128*2)}, "mtu": 1420,
			"peers": []any{map[string]any{
				"name": peer, "endpoint": fmt.Sprintf("192.0.2.%d:%d", n%250+1, 51800+n),
				"allowed_ips": []string{allowed}, "persistent_keepalive": 25,
			}},
		})
	}
	raw, err := json.Marshal(map[string]any{"tunnels": list, "public_keys": keys})
	require.NoError(b.t, err)
	cmd := exec.Command(os.Getenv("WGMESH"), "wg_tunnel")
	cmd.Stdin = bytes.NewReader(raw)
	out, err := cmd.Output()
	require.NoError(b.t, err, "%s", out)
	var result struct {
		Changed bool   `json:"changed"`
		Kind    string `json:"implementation"`
	}
	require.NoError(b.t, json.Unmarshal(out, &result))
	require.Equal(b.t, changed, result.Changed, "%s", out)
	require.Equal(b.t, "kernel", result.Kind)
}
