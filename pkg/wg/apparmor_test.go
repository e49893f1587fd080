package wg_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// Under AppArmor wg reads keys below /etc/wireguard only, and says no more than that
// permission is denied.
func TestArmor(t *testing.T) {
	const loaded, file, local = "/sys/kernel/security/apparmor/profiles", "/etc/apparmor.d/wg",
		"/etc/apparmor.d/local/wg"
	elsewhere := wg.Want{
		PrivateKeyFile: "/etc/keys/wg.key",
		Tunnels: []plan.Tunnel{
			{
				Name: "wg1",
				Peers: []plan.Peer{
					{Name: "b", PresharedKeyFile: "/etc/keys/1.psk"},
					{Name: "c", PresharedKeyFile: "/etc/wireguard/../psk/2"},
				},
			},
		},
	}
	home := wg.Want{
		PrivateKeyFile: "/etc/wireguard/wgmesh.key",
		Tunnels:        []plan.Tunnel{{Peers: []plan.Peer{{PresharedKeyFile: "/etc/wireguard/wgmesh-psk/1.psk"}, {}}}},
	}
	for name, tt := range map[string]struct {
		files    map[string]string
		closed   int
		enforced bool
	}{
		"no AppArmor":     {nil, 0, false},
		"no such profile": {map[string]string{loaded: "unconfined (enforce)\nwgetter (enforce)\n"}, 0, false},
		"enforced": {
			map[string]string{loaded: "man (enforce)\nwg (enforce)\nwg-quick (enforce)\n", file: ""}, 2, true,
		},
		"wg-quick's":     {map[string]string{loaded: "/usr/bin/wg-quick (enforce)\n"}, 2, true},
		"only complains": {map[string]string{loaded: "wg (complain)\n"}, 0, false},
		"not known":      {map[string]string{file: ""}, 2, false},
		"one is allowed": {map[string]string{loaded: "wg (enforce)\n", local: "  /etc/keys/** r,\n"}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range tt.files {
				must.Write(t, root+path, text, 0o644)
			}
			a := wg.LookArmor(root)
			assert.Empty(t, a.Closed(home))
			lines := a.Closed(elsewhere)
			assert.Len(t, lines, tt.closed)
			assert.Equal(t, tt.enforced, a.Enforced)
			for _, line := range lines {
				assert.LessOrEqual(t, len(line), 160)
				assert.Regexp(t, "AppArmor's profile .* /etc/(keys|psk): ", line)
			}
		})
	}
}
