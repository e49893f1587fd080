//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cutPower cuts the power of office-1, which makes the pre-shared keys of all its
// tunnels, while it makes new ones and changes its tunnels.
func cutPower(t *testing.T, n *network) {
	m := n.router("office-1")
	key := m.in(t, "sha256sum /etc/wireguard/wgmesh.key")
	for _, moment := range []struct{ what, watch, keepalive string }{
		{"as the first pre-shared key changes", "cat /etc/wireguard/wgmesh-psk/*", "21"},
		{"as the first tunnel's file changes", "cat /etc/wireguard/wg*.conf", "22"},
	} {
		m.in(t, `systemctl stop wgmesh-join.timer wgmesh-join.service
			sed -i '/mesh_keepalive/d; /mesh_rotate/d; s/^      vars:/      vars:\n        mesh_keepalive: `+
			moment.keepalive+`\n        mesh_rotate_preshared_keys: true/' /etc/wgmesh/inventory.yml
			rm -rf /root/before; cp -a /etc/wireguard /root/before; sync`)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		cmd := m.ssh(ctx, "sudo", "bash", "-s")
		cmd.Stdin = strings.NewReader(`look() { ` + moment.watch + ` 2>/dev/null | cksum; }
			before=$(look)
			/usr/local/bin/wgmesh join >/dev/null 2>&1 &
			while [ "$(look)" = "$before" ]; do
				kill -0 $! || { echo "the join ended and nothing had changed"; exit; }
			done
			echo now; sleep 60`)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "now\n", line)
		m.cut(t)
		cancel()
		_ = cmd.Wait()
		applied := time.Since(began)

		began = m.start(t)
		m.reachable(t, 5*time.Minute)
		said := m.in(t, `cd /etc/wireguard; new=0 old=0
			for f in wg*.conf wgmesh-psk/*.psk wgmesh.key wgmesh.seal; do
				if cmp -s $f /root/before/$f; then old=$((old + 1)); else new=$((new + 1)); fi
				case $f in
				*.conf) [ "$(tail -n 1 $f)" = '# end' ] || { echo "$f breaks off"; exit 1; } ;;
				*.psk) [ "$(base64 -d < $f | wc -c)" = 32 ] || { echo "$f is no key"; exit 1; } ;;
				esac
			done
			! ls *.damaged 2>/dev/null || exit 1
			bird -p -c /etc/bird/bird.conf || exit 1
			echo $old files are old, $new are new, none is half`)
		line = m.says(t, inMesh, 15*time.Minute)
		t.Logf("cut %s, %.0f s after the apply began: %s; %.0f s after power on: %s", moment.what,
			applied.Seconds(), said, time.Since(began).Seconds(), line)
		m.waitFor(t, whole, 3*time.Minute)
		assert.Equal(t, key, m.in(t, "sha256sum /etc/wireguard/wgmesh.key"))
	}
	m.in(t, "sed -i '/mesh_keepalive/d; /mesh_rotate/d' /etc/wgmesh/inventory.yml")
	n.prove(t)
}
