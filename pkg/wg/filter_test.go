package wg_test

import (
	"errors"
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

// filtered is mesh with a filter of what comes out of its tunnels.
func filtered(ports ...int) wg.Want {
	w := mesh()
	w.Input, w.InputPorts = wg.InputMesh, ports
	return w
}

func TestFilter(t *testing.T) {
	f := meshHost()
	converge(t, f, mesh())
	assert.NotContains(t, f.mss.File, "input", "accept is the default")
	assert.NotContains(t, f.files["wg1"].Text, "PreUp")

	converge(t, f, filtered(22, 5201, 22))
	assert.Contains(t, f.mss.File, "# input mesh: wg1 wg2 tcp/22 tcp/5201\n")
	assert.Contains(t, f.mss.File, `iifname != { "wg1", "wg2" } accept`)
	assert.Contains(t, f.mss.File, "tcp dport { 179, 22, 5201 } accept")
	assert.NotRegexp(t, `l4proto [^0-9]*[a-z]`, f.mss.File, "a host without /etc/protocols knows no names")
	assert.Contains(t, f.files["wg1"].Text, "PreUp = cat /etc/wireguard/wgmesh.nft | nft -f - || {",
		"no tunnel comes up without its filter")
	assert.Equal(t, 1, strings.Count(f.files["wg1"].Text, "nft -f"))

	converge(t, f, filtered())
	assert.Contains(t, f.mss.File, "tcp dport { 179 } accept")

	w := filtered()
	w.MSSClamp = false
	_, d := planned(t, f, w)
	require.NotNil(t, d.MSS)
	assert.NotContains(t, *d.MSS, "maxseg")
	assert.Contains(t, *d.MSS, "hook input")

	w = mesh()
	w.Input = wg.InputAccept
	converge(t, f, w)
	assert.NotContains(t, f.mss.File, "input")
	assert.NotContains(t, f.files["wg1"].Text, "PreUp")
}

// Two lists of tunnels on one router, with and without the filter, do not undo each other.
func TestFilterOfTwoLists(t *testing.T) {
	f := meshHost()
	one, two := filtered(22), mesh()
	two.Input = wg.InputAccept
	one.Tunnels, two.Tunnels = one.Tunnels[:1], two.Tunnels[1:]
	converge(t, f, one)
	converge(t, f, two)
	assert.Contains(t, f.mss.File, "# input mesh: wg1 tcp/22\n")
	_, d := planned(t, f, one)
	assert.True(t, d.Empty(), "%+v", d)

	two.Purge = true
	_, d = planned(t, f, two)
	require.NotNil(t, d.MSS)
	assert.NotContains(t, *d.MSS, "input", "the filter of a tunnel that is gone")
}

// Nor do two with prefixes of their own, whose clamp goes with the last tunnel of that name.
func TestClampOfTwoLists(t *testing.T) {
	f := meshHost()
	one, two := mesh(), mesh()
	one.Tunnels, two.Tunnels = one.Tunnels[:1], two.Tunnels[1:]
	two.Tunnels[0].Name, two.InterfacePrefix = "office-berlin", "office"
	converge(t, f, one)
	converge(t, f, two)
	_, d := planned(t, f, one)
	assert.True(t, d.Empty(), "%+v", d)
	two.Tunnels, two.Purge = two.Tunnels[:0], true
	converge(t, f, two)
	assert.Empty(t, f.mss.File, "both are of no mesh, so the purge takes all")
}

// Who wants none has none for what was taken out of the list either, which is of the same mesh. Without
// a mesh it may be of another list, whose TCP would hang.
func TestNoClampForStale(t *testing.T) {
	for former, stays := range map[string]bool{"routers": false, "others": true, "": true} {
		f, w := meshHost(), mesh()
		w.Mesh = former
		converge(t, f, w)
		w.Tunnels, w.MSSClamp, w.Mesh = w.Tunnels[:0], false, "routers"
		if former == "" {
			w.Mesh = ""
		}
		converge(t, f, w)
		assert.Contains(t, f.files, "wg1", "it is left alone")
		assert.Equal(t, stays, strings.Contains(f.mss.File, "maxseg"), former)
	}
}

// The clamp is for a tunnel of any name.
func TestClampOfAnotherName(t *testing.T) {
	for _, name := range []string{"office-berlin", "office-berlin-1"} { // 15 are the most
		f, w := meshHost(), mesh()
		w.Tunnels[0].Name = name
		converge(t, f, w)
		assert.Contains(t, f.mss.File, "\t\toifname \""+name[:min(len(name), 14)]+"*\" tcp flags")
		assert.Contains(t, f.mss.File, "\t\toifname \"wg*\" tcp flags")
	}
}

// Without a clamp and a filter no nf_tables is needed, also not to remove all.
func TestNoTablesNeeded(t *testing.T) {
	for _, why := range []string{"Protocol not supported", "Operation not permitted", "Operation not supported"} {
		f, w := meshHost(), mesh()
		f.mssErr = errors.New("mss clamp: nft: " + why)
		_, err := wg.Observe(t.Context(), f, w)
		require.ErrorContains(t, err, why, "the clamp needs it")
		w.MSSClamp = false
		converge(t, f, w)
		f.mss.File = wg.MSSText("wg")
		_, err = wg.Observe(t.Context(), f, w)
		require.ErrorContains(t, err, why, "there was a clamp, and it may be in the kernel")
	}
}

// A tunnel that another router's call sets up is no way around the filter.
func TestFilterOfOneMore(t *testing.T) {
	f := meshHost()
	first, second := filtered(22), mesh()
	first.Tunnels, second.Tunnels = first.Tunnels[:1], second.Tunnels[1:]
	converge(t, f, first)
	second.Input = ""
	converge(t, f, second)
	assert.Contains(t, f.mss.File, "# input mesh: wg1 wg2 tcp/22\n")
	assert.Contains(t, f.files["wg2"].Text, "PreUp = ")

	f = meshHost()
	converge(t, f, second)
	assert.NotContains(t, f.mss.File, "input")
}

func TestFilterDrift(t *testing.T) {
	for name, drift := range map[string]func(*wg.MSS){
		"table gone":    func(m *wg.MSS) { m.Live = "" },
		"a rule more":   func(m *wg.MSS) { m.Live += "; rule ?" },
		"a rule less":   func(m *wg.MSS) { m.Live = m.Live[:strings.LastIndex(m.Live, "; rule")] },
		"another order": func(m *wg.MSS) { m.File = strings.Replace(m.File, "wg1 wg2", "wg2 wg1", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			f := meshHost()
			converge(t, f, filtered(22))
			drift(&f.mss)
			_, d := planned(t, f, filtered(22))
			assert.NotNil(t, d.MSS)
		})
	}
}

func TestFilterOptions(t *testing.T) {
	w := filtered(0, 70000)
	w.Input = "drop"
	err := w.Validate()
	require.ErrorContains(t, err, `input: "drop": expected accept or mesh`)
	require.ErrorContains(t, err, "input_ports: 0: expected TCP ports from 1 to 65535")
	require.ErrorContains(t, err, "input_ports: 70000: ")
}

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
	for name, tt := range map[string]struct{ text, err string }{
		"foreign": {"[Interface]\nPrivateKey = x\n[Peer]\nPublicKey = y\n", ""},
		"no key":  {"# peer: ann\n[Peer]\nEndpoint = 192.0.2.1:1\n", ""},
		"empty":   {"", ""},
	} {
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
