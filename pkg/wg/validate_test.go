package wg_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
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

func TestValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *wg.Want)
		err    string
	}{
		"right": {func(*wg.Want) {}, ""},
		"no limits needed": {func(w *wg.Want) {
			w.Tunnels[0].ListenPort, w.Tunnels[0].MTU = 0, 0
			w.Tunnels[1].ListenPort = 0
		}, ""},
		"least mtu": {func(w *wg.Want) { w.Tunnels[0].MTU, w.Tunnels[1].MTU = 576, 1280 }, ""},
		"name too long": {func(w *wg.Want) {
			w.Tunnels[0].Name = "wg45678901234567"
		}, `tunnels[0] wg45678901234567: name "wg45678901234567": expected 1 to 15`},
		"name that escapes": {
			func(w *wg.Want) { w.Tunnels[0].Name = "../x" },
			`tunnels[0] ../x: name "../x": expected 1 to 15 of letters, digits and _.-, a letter or digit first`,
		},
		"name twice": {func(w *wg.Want) {
			w.Tunnels[1].Name = "wg1"
		}, `tunnels[1] wg1: name is already that of tunnels[0]`},
		"port twice": {func(w *wg.Want) {
			w.Tunnels[1].ListenPort = 51801
		}, `tunnels[1] wg2: listen_port 51801 is already that of wg1`},
		"port range": {func(w *wg.Want) {
			w.Tunnels[1].ListenPort = 65536
		}, `tunnels[1] wg2: listen_port 65536: expected 1 to 65535, or 0 for any`},
		"mtu small": {func(w *wg.Want) { w.Tunnels[0].MTU = 575 }, `tunnels[0] wg1: mtu 575: expected 576 to 65535`},
		"mtu ipv6": {func(w *wg.Want) {
			w.Tunnels[1].MTU = 1279
		}, `tunnels[1] wg2: mtu 1279: expected 1280 to 65535 with an IPv6 address (RFC 8200)`},
		"mtu large": {func(w *wg.Want) {
			w.Tunnels[0].MTU = 65536
		}, `tunnels[0] wg1: mtu 65536: expected 576 to 65535`},
		"address bad": {func(w *wg.Want) {
			w.Tunnels[0].Addresses = prefixes("0.0.0.0/8")
		}, `tunnels[0] wg1: address 0.0.0.0/8: not an address an interface can have`},
		"address twice": {
			func(w *wg.Want) { w.Tunnels[0].Addresses = prefixes("10.0.0.1/24 10.0.0.1/25") },
			`tunnels[0] wg1: address 10.0.0.1/25: twice`,
		},
		"keepalive": {
			func(w *wg.Want) { w.Tunnels[0].Peers[0].PersistentKeepalive = -1 },
			`tunnels[0] wg1: peers[0] ann: persistent_keepalive -1: expected 0 to 65535 seconds`,
		},
		"endpoint port": {
			func(w *wg.Want) { w.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:0") },
			`tunnels[0] wg1: peers[0] ann: endpoint 192.0.2.1:0: ` +
				`expected the address and port that the peer listens on`,
		},
		"endpoint of a link": {
			func(w *wg.Want) { w.Tunnels[0].Peers[0].Endpoint = netip.MustParseAddrPort("[fe80::1%eth0]:7") },
			`tunnels[0] wg1: peers[0] ann: endpoint [fe80::1%eth0]:7: a link-local address is one of a link`,
		},
		"peer name that is a line": {
			func(w *wg.Want) { w.Tunnels[0].Peers[0].Name = "a\nPostUp = reboot" },
			`tunnels[0] wg1: peers[0]: name "a\nPostUp = reboot": ` +
				`expected letters, digits and ._:@+-, a letter or digit first`,
		},
		"path that is a command": {
			func(w *wg.Want) { w.Tunnels[0].Peers[0].PresharedKeyFile = "/psk; reboot" },
			`tunnels[0] wg1: peers[0] ann: preshared_key_file "/psk; ` +
				`reboot": expected an absolute path of letters, digits and ._/@+=-`,
		},
		"private key path": {func(w *wg.Want) {
			w.PrivateKeyFile = "key"
		}, `private_key_file: "key": expected an absolute path of letters, digits and ._/@+=-`},
		"directory": {func(w *wg.Want) {
			w.Directory = ""
		}, `directory: "": expected an absolute path of letters, digits and ._/@+=-`},
		"prefix": {func(w *wg.Want) {
			w.InterfacePrefix = `wg" drop`
		}, `interface_prefix: "wg\" drop": expected 1 to 14 of letters, digits and _.-`},
		"allowed ips of two peers": {
			func(w *wg.Want) {
				w.Tunnels[0].Peers = append(w.Tunnels[0].Peers, plan.Peer{
					Name: "bob", AllowedIPs: prefixes("10.1.7.7/16"),
				})
			},
			`tunnels[0] wg1: peers[1] bob: allowed_ips 10.1.0.0/16 is already that of peer ann, ` +
				`and WireGuard gives a network to one peer only`,
		},
		"same key twice": {
			func(w *wg.Want) {
				w.Tunnels[0].Peers = append(w.Tunnels[0].Peers, plan.Peer{Name: "bob", PublicKey: keyOf("ann")})
			},
			`tunnels[0] wg1: peers[1] bob: public key ` + keyOf("ann").String() + ` is already that of peer ann`,
		},
		"same peer twice": {
			func(w *wg.Want) { w.Tunnels[0].Peers = append(w.Tunnels[0].Peers, plan.Peer{Name: "ann"}) },
			`tunnels[0] wg1: peers[1] ann: name is already that of another peer of this tunnel`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := mesh()
			tt.change(&w)
			err := w.Validate()
			if tt.err == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, tt.err)
		})
	}
}

// All problems are told at once, one a line.
func TestValidateListsAll(t *testing.T) {
	w := mesh()
	w.Tunnels[0].MTU, w.Tunnels[0].ListenPort, w.Tunnels[1].MTU = 1, -1, 2
	err := w.Validate()
	assert.Len(t, strings.Split(err.Error(), "\n"), 3)
}

func TestParsePublicKey(t *testing.T) {
	good := keyOf("ann").String()
	k := must.Get(plan.ParsePublicKey(good))(t)
	assert.Equal(t, keyOf("ann"), k)

	low := base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 31)...))
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, text := range map[string]string{
		"empty": "", "short": good[:43], "long": good + "A", "newline": good + "\n",
		"not base64":      strings.Repeat("!", 44),
		"url alphabet":    strings.Repeat("-", 43) + "=",
		"loose last bits": strings.Repeat("/", 43) + "=", "low order": low, "zero": zero,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := plan.ParsePublicKey(text)
			require.ErrorContains(t, err, "not a WireGuard public key")
			if text != "" {
				assert.NotContains(t, err.Error(), strings.TrimSpace(text), "it may be a private key")
			}
		})
	}
}

// An absent key is not a key, in JSON too.
func TestPublicKeyJSON(t *testing.T) {
	var keys map[string]plan.PublicKey
	require.NoError(t, json.Unmarshal([]byte(`{"a":"`+keyOf("ann").String()+`","b":"","c":null}`), &keys))
	assert.Equal(t, map[string]plan.PublicKey{"a": keyOf("ann"), "b": {}, "c": {}}, keys)
	assert.Error(t, json.Unmarshal([]byte(`{"a":"x"}`), &keys))
}

func TestSecretDoesNotPrint(t *testing.T) {
	b := [32]byte{0xde, 0xad, 0xbe, 0xef}
	s := wg.SecretOf(b)
	marshalled := must.Get(json.Marshal(map[string]any{"k": s}))(t)
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s),
		string(marshalled), fmt.Errorf("x %v", s).Error(),
	} {
		for _, leak := range []string{"222 173", "0xde", "dead", base64.StdEncoding.EncodeToString(b[:])[:6]} {
			assert.NotContains(t, strings.ToLower(text), strings.ToLower(leak))
		}
	}
}

func TestReadKeyFile(t *testing.T) {
	text := keyOf("ann").String()
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	put := func(content string, mode os.FileMode) func(t *testing.T) {
		return func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			require.NoError(t, os.Chmod(path, mode))
		}
	}
	for name, tt := range map[string]struct {
		make func(t *testing.T)
		err  string
	}{
		"right":       {put(text+"\n", 0o600), ""},
		"no newline":  {put(text, 0o400), ""},
		"readable":    {put(text, 0o640), "mode 0640, owner"},
		"blank lines": {put(text+"\r\n \n", 0o600), ""},
		"two lines":   {put(text+"\n"+text+"\n", 0o600), "expected base64 of 32 bytes (44 characters) on one line"},
		"too long":    {put(text+text, 0o600), "expected base64 of 32 bytes (44 characters) on one line"},
		"empty":       {put("", 0o600), "expected base64 of 32 bytes (44 characters) on one line"},
		"zero":        {put(strings.Repeat("A", 43)+"=", 0o600), "the key is all zeros"},
		"not base64": {
			put(strings.Repeat("?", 44), 0o600), "expected base64 of 32 bytes (44 characters) on one line",
		},
		"link": {func(t *testing.T) {
			require.NoError(t, os.Symlink("/dev/null", path))
		}, "is a symbolic link"},
		"folder":        {func(t *testing.T) { require.NoError(t, os.Mkdir(path, 0o700)) }, "is not a regular file"},
		"missing":       {func(*testing.T) {}, "file does not exist"},
		"names the key": {func(*testing.T) {}, path},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.RemoveAll(path))
			tt.make(t)
			printed, err := wg.ReadKeyFile(path)
			assert.Equal(t, "[redacted]", printed)
			if tt.err == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.err)
			assert.NotContains(t, err.Error(), text)
		})
	}
}
