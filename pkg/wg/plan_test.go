package wg_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// What is not known yet is not configured, and what is there stays.
func TestPending(t *testing.T) {
	const noKey = "its public key is not known yet"
	const noPSK = "its pre-shared key file /psk/1 does not exist yet"
	wait := func(peer, reason string) []plan.Pending {
		return []plan.Pending{{Tunnel: "wg1", Peer: peer, Reason: reason}}
	}
	for name, tt := range map[string]struct {
		first   bool // converge with everything known before
		change  func(f *fake, w *wg.Want)
		pending []plan.Pending
		peers   string // of wg1 in the end
	}{
		"new, key unknown": {
			change:  func(_ *fake, w *wg.Want) { delete(w.PublicKeys, "ann") },
			pending: wait("ann", noKey),
		},
		"new, preshared key not there": {
			change: func(f *fake, _ *wg.Want) { f.psks = nil }, pending: wait("ann", noPSK),
		},
		"known before, key unknown now": {
			first: true, change: func(_ *fake, w *wg.Want) { delete(w.PublicKeys, "ann") }, peers: "ann",
		},
		"known before, preshared key lost": {
			first: true, change: func(f *fake, _ *wg.Want) { f.psks = nil },
			pending: wait("ann", noPSK), peers: "ann",
		},
		"known before, preshared key damaged": {
			first: true, peers: "ann",
			change: func(f *fake, _ *wg.Want) { f.psks, f.pskErr = nil, errors.New("key file /psk/1: broken") },
			pending: wait("ann",
				"its pre-shared key file /psk/1: broken: remove it, then run the mesh play for both ends"),
		},
		"key changed, preshared key lost": {
			first: true, change: func(f *fake, w *wg.Want) { f.psks, w.PublicKeys["ann"] = nil, keyOf("new") },
			pending: wait("ann", noPSK), peers: "ann",
		},
		"another peer, key unknown": {
			first: true, change: func(_ *fake, w *wg.Want) { w.Tunnels[0].Peers[0].Name = "cat" },
			pending: wait("cat", noKey), peers: "ann",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := meshHost(), mesh()
			if tt.first {
				converge(t, f, w)
			}
			file := f.files["wg1"]
			tt.change(f, &w)
			s, d := planned(t, f, w)
			want := tt.pending
			if want == nil {
				want = []plan.Pending{}
			}
			assert.Equal(t, want, wg.PendingPeers(w, s))
			assert.Equal(t, tt.first, d.Empty(), "an existing tunnel stays as it is")
			converge(t, f, w)
			assert.Contains(t, f.links, "wg1", "the interface is made in any case")
			var peers []string
			for _, p := range f.devices["wg1"].Peers {
				peers = append(peers, nick(p.PublicKey))
			}
			assert.Equal(t, tt.peers, strings.Join(peers, " "))
			if tt.first {
				assert.Equal(t, file, f.files["wg1"])
			}
		})
	}
}

// Of several peers of an interface one may be pending. It stays as it is, also
// its place in the file, while the others follow the want.
func TestPendingAmongOthers(t *testing.T) {
	f, w := meshHost(), mesh()
	w.Tunnels[0].Peers = append(w.Tunnels[0].Peers, plan.Peer{Name: "bob", AllowedIPs: prefixes("10.5.0.0/16")})
	converge(t, f, w)
	f.psks = nil
	_, d := planned(t, f, w)
	assert.True(t, d.Empty(), "%+v", d)
	w.Tunnels[0].Peers[0].AllowedIPs = prefixes("10.66.0.0/16") // of the pending one
	w.Tunnels[0].Peers[1].AllowedIPs = prefixes("10.6.0.0/16")
	assert.Equal(t, []string{"wg1: peer bob (allowed_ips)", "wg1: wg-quick file"}, converge(t, f, w))
	assert.Contains(t, f.dump(), "ann: psk=01 203.0.113.1:51801 [10.1.0.0/16 172.31.1.0/31]")
	f.psks = map[string]wg.Fingerprint{"/psk/1": {1}}
	assert.Equal(t, []string{"wg1: peer ann (allowed_ips)", "wg1: wg-quick file"}, converge(t, f, w))
}

// Who is taken out of a tunnel of several peers goes at once, while one that comes has no key
// yet. What is not in the file may be of those that wait, and stays.
func TestPendingKeepsNobodyElse(t *testing.T) {
	f, w := meshHost(), mesh()
	w.Tunnels[0].Peers = append(w.Tunnels[0].Peers, plan.Peer{Name: "bob", AllowedIPs: prefixes("10.5.0.0/16")})
	converge(t, f, w)
	d := f.devices["wg1"]
	d.Peers = append(slices.Clone(d.Peers), wg.LivePeer{PublicKey: keyOf("new")})
	f.devices["wg1"] = d
	w.Tunnels[0].Peers[1].Name = "cat"
	assert.Equal(t, []string{"wg1: peer bob (removed)", "wg1: wg-quick file"}, converge(t, f, w))
	assert.NotContains(t, f.files["wg1"].Text, "bob")
	var left []string
	for _, p := range f.devices["wg1"].Peers {
		left = append(left, nick(p.PublicKey))
	}
	assert.Equal(t, []string{"ann", "new"}, left)

	f, w = meshHost(), mesh()
	w.Tunnels[0].Peers = append(w.Tunnels[0].Peers, plan.Peer{Name: "bob"})
	converge(t, f, w)
	f.psks, w.Tunnels[0].Peers = nil, w.Tunnels[0].Peers[:1]
	assert.Equal(t, []string{"wg1: peer bob (removed)", "wg1: wg-quick file"}, converge(t, f, w))
	assert.Contains(t, f.dump(), "ann: psk=01", "the one that is pending stays")
}

// Only what we made is touched.
func TestForeign(t *testing.T) {
	for name, tt := range map[string]struct {
		have func(f *fake)
		err  string // empty: adopted
	}{
		"file of someone else": {
			func(f *fake) { f.files["wg1"] = wg.File{} },
			`wg1: /etc/wireguard/wg1.conf was not made by wgmesh.router (its first line is not "# Managed by ` +
				`wgmesh.router ..."): move it away, or choose another name for this tunnel`,
		},
		"bridge": {
			func(f *fake) { f.links["wg1"] = wg.Link{Kind: "bridge"} },
			`wg1: there is an interface of this name that is not WireGuard (bridge): ` +
				`remove it, or choose another name for this tunnel`,
		},
		"WireGuard of someone else": {
			func(f *fake) {
				f.links["wg1"], f.devices["wg1"] = wg.Link{Kind: "wireguard"}, wg.Device{PublicKey: keyOf("cat")}
			},
			"wg1: an interface of this name is not of wgmesh.router (no /etc/wireguard/wg1.conf, and another key): " +
				"remove it (ip link delete wg1), or choose another name",
		},
		"tun of someone else": {
			func(f *fake) { f.links["wg1"] = wg.Link{Kind: "tun"} },
			"wg1: an interface of this name is not of wgmesh.router (no /etc/wireguard/wg1.conf, and another key): " +
				"remove it (ip link delete wg1), or choose another name",
		},
		"ours, file lost": {
			func(f *fake) {
				f.links["wg1"], f.devices["wg1"] = wg.Link{Kind: "wireguard"}, wg.Device{PublicKey: keyOf("me")}
			}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := meshHost()
			tt.have(f)
			s := must.Get(wg.Observe(t.Context(), f, mesh()))(t)
			_, err := wg.Diff(mesh(), s)
			if tt.err == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, tt.err)
		})
	}
}

// Foreign files are neither purged nor reported.
func TestPurgeLeavesForeign(t *testing.T) {
	f, w := converged(t)
	f.files["office"] = wg.File{}
	w.Tunnels = w.Tunnels[:1]
	s, d := planned(t, f, w)
	assert.Equal(t, []string{"wg2"}, wg.Stale(w, s))
	assert.True(t, d.Empty())
	w.Purge = true
	converge(t, f, w)
	assert.Contains(t, f.files, "office")
	assert.NotContains(t, f.files, "wg2")
}

// What one peer tells wrongly is pending for its own tunnel, which keeps what it
// has; the other tunnels go on.
func TestRefusedPeers(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*wg.Want)
		reason string
	}{
		"our own key": {func(w *wg.Want) {
			w.PublicKeys["ann"] = keyOf("me")
		}, keyOf("me").String() + " is this router's own public key: expected the peer's"},
		"no key": {func(w *wg.Want) { w.Refused = map[string]string{"ann": "it is none"} }, "it is none"},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := converged(t)
			before := f.dump()
			test.change(&w)
			s, d := planned(t, f, w)
			assert.True(t, d.Empty(), "%+v", d)
			assert.Equal(t,
				[]plan.Pending{{Tunnel: "wg1", Peer: "ann", Reason: "ann: " + test.reason, Refused: true}},
				wg.PendingPeers(w, s))

			// What does not hang on the key is mended all the same, here and elsewhere.
			w.Tunnels[0].MTU--
			w.Tunnels[1].MTU--
			_, d = planned(t, f, w)
			assert.Len(t, d.Tunnels, 2)
			must.Get(wg.Apply(t.Context(), f, d))(t)
			assert.Equal(t,
				strings.NewReplacer("mtu=1340", "mtu=1339", "mtu=1420", "mtu=1419").Replace(before), f.dump())

			// A new router that tells such a key gets no tunnel, and the others theirs.
			f, w = meshHost(), mesh()
			test.change(&w)
			s, d = planned(t, f, w)
			assert.Equal(t,
				[]plan.Pending{{Tunnel: "wg1", Peer: "ann", Reason: "ann: " + test.reason, Refused: true}},
				wg.PendingPeers(w, s))
			must.Get(wg.Apply(t.Context(), f, d))(t)
			assert.Empty(t, f.devices["wg1"].Peers)
			assert.NotEmpty(t, f.devices["wg2"].Peers)
		})
	}
}

// Two peers with one key: on two interfaces they do not disturb each other; on one
// interface the key stays with who has it.
func TestTwins(t *testing.T) {
	f, w := converged(t)
	s, _ := planned(t, f, w)
	assert.Empty(t, wg.Twins(w, s))
	other := w.Tunnels[1].Peers[0].Name
	w.PublicKeys[other] = keyOf("ann")
	s, d := planned(t, f, w)
	require.Len(t, d.Tunnels, 1)
	assert.Equal(t, w.Tunnels[1].Name, d.Tunnels[0].Name)
	assert.Empty(t, wg.PendingPeers(w, s))
	require.Len(t, wg.Twins(w, s), 1)
	assert.Contains(t, wg.Twins(w, s)[0], "wg1 to ann and "+w.Tunnels[1].Name+" to "+other+" have the same public key")

	w = mesh()
	converge(t, f, w)
	w.Tunnels[0].Peers = append([]plan.Peer{{Name: "liar"}}, w.Tunnels[0].Peers...)
	w.PublicKeys["liar"] = keyOf("ann")
	s, d = planned(t, f, w)
	assert.True(t, d.Empty(), "%+v", d)
	assert.Equal(t,
		[]plan.Pending{
			{
				Tunnel: "wg1", Peer: "liar",
				Reason: "liar: public key " + keyOf("ann").String() +
					" is already that of peer ann: make new keys on one of them", Refused: true,
			},
		},
		wg.PendingPeers(w, s))
}

// Without a private key a plan can be shown, and applying it does nothing.
func TestNoPrivateKey(t *testing.T) {
	f, w := meshHost(), mesh()
	f.private = nil
	_, d := planned(t, f, w)
	assert.False(t, d.Empty())
	done, err := wg.Apply(t.Context(), f, d)
	assert.ErrorContains(t, err, "private_key_file: file does not exist; run wg_keypair first")
	assert.Empty(t, done)
	assert.Empty(t, f.writes)
}

// Whichever write fails, the rest that can be done is, and the next run ends
// where an undisturbed one does.
func TestFailures(t *testing.T) {
	for name, change := range map[string]func(w *wg.Want){
		"create": nil,
		"mend": func(w *wg.Want) {
			w.Tunnels[0].MTU, w.Tunnels[0].ListenPort = 1300, 51811
			w.Tunnels[0].Addresses = prefixes("172.31.1.1/31")
			w.PublicKeys["ann"] = keyOf("new")
			w.Tunnels[1].MTU = 1300
		},
		"purge": func(w *wg.Want) { w.Purge, w.Tunnels, w.MSSClamp = true, w.Tunnels[:1], false },
	} {
		t.Run(name, func(t *testing.T) {
			start := func() (*fake, wg.Want) {
				f, w := meshHost(), mesh()
				if change != nil {
					converge(t, f, w)
					change(&w)
				}
				return f, w
			}
			clean, w := start()
			converge(t, clean, w)
			for k := 1; ; k++ {
				f, w := start()
				_, d := planned(t, f, w)
				f.failAt = k
				done, err := wg.Apply(t.Context(), f, d)
				if len(f.writes) < k {
					require.NoError(t, err)
					require.Greater(t, k, 4, "the walk must have writes to fail")
					return
				}
				require.ErrorIs(t, err, errInjected, "write %d: %s", k, f.writes[k-1])
				assert.NotEmpty(t, done, "one failure must not stop everything (write %d)", k)
				f.failAt = 0
				converge(t, f, w)
				assert.Equal(t, clean.dump(), f.dump(), "after write %d failed", k)
			}
		})
	}
}
