package wg_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

func filePeer() plan.Peer {
	p := mesh().Tunnels[0].Peers[0]
	return plan.Peer{
		Name: "ann", PublicKey: keyOf("ann"), Endpoint: p.Endpoint, AllowedIPs: p.AllowedIPs,
		PersistentKeepalive: 25, PresharedKeyFile: "/psk/1",
	}
}

func TestRender(t *testing.T) {
	text := wg.Render(mesh().Tunnels[0], []plan.Peer{filePeer(), {PublicKey: keyOf("bob")}},
		keyPath, "/etc/wireguard/wgmesh.nft")
	ann, bob := keyOf("ann").String(), keyOf("bob").String()
	assert.Equal(t, `# Managed by wgmesh.router (wg_tunnel). Do not edit: the next run puts it back.
[Interface]
Address = 172.31.1.0/31
ListenPort = 51801
MTU = 1340
Table = off
PostUp = wg set %i peer `+ann+` preshared-key /psk/1
PostUp = wg set %i private-key /etc/wireguard/wgmesh.key peer `+ann+` persistent-keepalive 25
PostUp = cat /etc/wireguard/wgmesh.nft | nft -f - || echo "<4>%i: no MSS clamp, so TCP may hang: run the mesh play"

# peer: ann
[Peer]
PublicKey = `+ann+`
AllowedIPs = 10.1.0.0/16, 172.31.1.0/31
Endpoint = 203.0.113.1:51801

[Peer]
PublicKey = `+bob+`

# end
`, text)
}

func TestParse(t *testing.T) {
	want := []plan.Peer{filePeer(), {PublicKey: keyOf("bob")}}
	text := wg.Render(mesh().Tunnels[0], want, keyPath, "")
	assert.Equal(t, want, wg.Parse(text))
	tests := map[string]struct{ text, err string }{
		"foreign": {"[Interface]\nPrivateKey = x\n[Peer]\nPublicKey = y\n", ""},
		"no key":  {"# peer: ann\n[Peer]\nEndpoint = 192.0.2.1:1\n", ""},
		"empty":   {"", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { assert.Empty(t, wg.Parse(tt.text)) })
	}
	// A name belongs to the section after it only.
	peers := wg.Parse("# peer: ann\n[Interface]\n[Peer]\nPublicKey = " + keyOf("bob").String() + "\n")
	require.Len(t, peers, 1)
	assert.Empty(t, peers[0].Name)
}

// Whatever a file says, what was read from it can be written and read again,
// and cannot bring a hook along.
func FuzzParse(f *testing.F) {
	tunnel := mesh().Tunnels[0]
	f.Add(wg.Render(tunnel, []plan.Peer{filePeer()}, keyPath, "/x.nft"))
	f.Add("# peer: a\n[Peer]\nPublicKey = " + keyOf("ann").String() +
		"\nAllowedIPs = 10.1.2.3/8, ::ffff:1.2.3.4/99,\nEndpoint = [fe80::1%eth0]:1\n")
	f.Add("PostUp = wg set %i peer " + keyOf("ann").String() + " preshared-key /a;reboot persistent-keepalive 99999\n")
	f.Fuzz(func(t *testing.T, text string) {
		peers := wg.Parse(text)
		seen := map[plan.PublicKey]bool{}
		for _, p := range peers {
			if seen[p.PublicKey] {
				return // refused by Diff
			}
			seen[p.PublicKey] = true
		}
		out := wg.Render(tunnel, peers, keyPath, "")
		assert.Equal(t, peers, wg.Parse(out))
		for line := range strings.Lines(out) {
			if hook, ok := strings.CutPrefix(line, "PostUp = "); ok {
				assert.True(t,
					strings.HasPrefix(hook, "wg set %i ") && !strings.ContainsAny(hook, ";&|`$()<>'\"\\#"), hook)
			}
		}
	})
}

func TestParseUnits(t *testing.T) {
	text := "Id=wg-quick@wg1.service\nActiveState=active\nUnitFileState=enabled\n\n" +
		"Id=wg-quick@wg-2.service\nActiveState=failed\nUnitFileState=disabled\n\n" +
		"Id=wg-quick@wg3.service\nActiveState=inactive\nUnitFileState=\n"
	assert.Equal(t, map[string]wg.Unit{"wg1": {Enabled: true}, "wg-2": {Failed: true}, "wg3": {}}, wg.ParseUnits(text))
}

// What nft of Debian 12 (1.0.6) lists for our table is what we expect, and any
// other table is not.
func TestSummarise(t *testing.T) {
	listing := must.Get(os.ReadFile(filepath.Join("testdata", "nft-1.0.6.json")))(t)
	got := must.Get(wg.Summarise(listing))(t)
	assert.Equal(t, wg.MSSSummary(wg.MSSText("wg")), got)
	for from, to := range map[string]string{
		`"prio": -150`:         `"prio": 0`,
		`"policy": "accept"`:   `"policy": "drop"`,
		`"wg*"`:                `"eth*"`,
		`{"rt": {"key": "mtu"`: `{"rt": {"key": "classid"`,
		`"maxseg"`:             `"window"`,
		`"right": "syn"`:       `"right": "ack"`,
		`"op": "=="`:           `"op": "!="`,
		`{"mangle"`:            `{"drop": null}, {"mangle"`,
	} {
		changed := strings.Replace(string(listing), from, to, 1)
		require.NotEqual(t, string(listing), changed, from)
		got := must.Get(wg.Summarise([]byte(changed)))(t)
		assert.NotEqual(t, wg.MSSSummary(wg.MSSText("wg")), got, from)
	}
	// Newer nft writes sets of flags with |.
	newer := strings.ReplaceAll(string(listing), `["syn", "rst"]`, `{"|": ["syn", "rst"]}`)
	got = must.Get(wg.Summarise([]byte(newer)))(t)
	assert.Equal(t, wg.MSSSummary(wg.MSSText("wg")), got)
	assert.Error(t, must.Err(wg.Summarise([]byte("oops"))))
}

func FuzzSummarise(f *testing.F) {
	f.Add([]byte(
		`{"nftables":[{"rule":{"expr":[{"match":{"op":"==","left":1,"right":null}},{"mangle":3}]}},{"set":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := wg.Summarise(b); err == nil {
			assert.NotEmpty(t, got)
		}
	})
}
