package wg

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
)

// Mark is how the first line of every file of ours starts. Files without it are
// never written or removed.
const Mark = "# Managed by wgmesh.router"

const header = Mark + " (wg_tunnel). Do not edit: the next run puts it back.\n"

// A tableHook loads the nftables table as the tunnel comes up. Closed is a tunnel
// that must not be there without its filter.
type tableHook struct {
	file   string // empty: no table
	closed bool
}

// render writes the wg-quick file of t with these peers.
//
// The order of the hooks matters. Pre-shared keys come before the private key, so that no handshake
// can be answered without them; keepalive comes with the private key, because the first keepalive
// starts the first handshake, and one that starts without a private key fails and is not repeated
// for 5 seconds. A hook that fails takes the interface down again: closed, not half open. The clamp
// is not a lock, so a tunnel comes up without it too, and says so. The input filter is one, and is
// there before the interface.
//
// nft reads its table from a pipe: AppArmor's profile of wg-quick (Ubuntu 25.04 and newer) lets
// wg-quick's own cat read /etc/wireguard, and nft no file. wg-quick has pipefail set.
//
// The last line tells a whole file from one that breaks off.
func render(owner mark.Owner, t plan.Tunnel, peers []plan.Peer, privateKeyFile string, table tableHook) string {
	var b strings.Builder
	b.WriteString(header + owner.Line() + "[Interface]\n")
	for _, a := range sorted(t.Addresses) {
		fmt.Fprintf(&b, "Address = %s\n", a)
	}
	if t.ListenPort != 0 {
		fmt.Fprintf(&b, "ListenPort = %d\n", t.ListenPort)
	}
	if t.MTU != 0 {
		fmt.Fprintf(&b, "MTU = %d\n", t.MTU)
	}
	b.WriteString("Table = off\n")
	if table.closed {
		fmt.Fprintf(&b, "PreUp = cat %s | nft -f - || { echo \"<3>%%i: stays down: "+
			"its input filter cannot be loaded: run the mesh play\"; false; }\n", table.file)
	}
	keepalive := ""
	for _, p := range peers {
		if p.PresharedKeyFile != "" {
			fmt.Fprintf(&b, "PostUp = wg set %%i peer %s preshared-key %s\n", p.PublicKey, p.PresharedKeyFile)
		}
		if p.PersistentKeepalive != 0 {
			keepalive += fmt.Sprintf(" peer %s persistent-keepalive %d", p.PublicKey, p.PersistentKeepalive)
		}
	}
	fmt.Fprintf(&b, "PostUp = wg set %%i private-key %s%s\n", privateKeyFile, keepalive)
	if table.file != "" && !table.closed {
		fmt.Fprintf(&b, "PostUp = cat %s | nft -f - || echo \"<4>%%i: no MSS clamp, so TCP may hang: "+
			"run the mesh play\"\n", table.file)
	}
	for _, p := range peers {
		b.WriteString("\n")
		if p.Name != "" {
			fmt.Fprintf(&b, "# peer: %s\n", p.Name)
		}
		fmt.Fprintf(&b, "[Peer]\nPublicKey = %s\n", p.PublicKey)
		if len(p.AllowedIPs) > 0 {
			fmt.Fprintf(&b, "AllowedIPs = %s\n", join(p.AllowedIPs))
		}
		if p.Endpoint.IsValid() {
			fmt.Fprintf(&b, "Endpoint = %s\n", p.Endpoint)
		}
	}
	b.WriteString("\n" + end)
	return b.String()
}

// parse reads the peers of a wg-quick file. It takes what render writes and
// passes over what it does not know, since people edit files: a line that was
// spoilt is only lost, and the file is rewritten anyway.
func parse(text string) []plan.Peer {
	var peers []plan.Peer
	hooks := map[plan.PublicKey]plan.Peer{}
	name, inPeer := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if n, ok := strings.CutPrefix(line, "# peer: "); ok {
			name = ""
			if peerName.Fits(n) {
				name = n
			}
			continue
		}
		if strings.HasPrefix(line, "[") {
			if inPeer = line == "[Peer]"; inPeer {
				peers = append(peers, plan.Peer{Name: name})
			}
			name = ""
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case inPeer:
			set(&peers[len(peers)-1], key, value)
		case key == "PostUp":
			parseHook(hooks, value)
		}
	}
	return withHooks(peers, hooks)
}

// set takes one line of a [Peer] section.
func set(p *plan.Peer, key, value string) {
	switch key {
	case "PublicKey":
		p.PublicKey, _ = plan.ParsePublicKey(value)
	case "Endpoint":
		p.Endpoint, _ = netip.ParseAddrPort(value)
	case "AllowedIPs":
		for one := range strings.SplitSeq(value, ",") {
			if n, err := netip.ParsePrefix(strings.TrimSpace(one)); err == nil {
				p.AllowedIPs = append(p.AllowedIPs, n)
			}
		}
		p.AllowedIPs = networks(p.AllowedIPs)
	}
}

// parseHook reads "wg set %i ... peer K preshared-key F persistent-keepalive N".
func parseHook(hooks map[plan.PublicKey]plan.Peer, hook string) {
	words := strings.Fields(hook)
	var key plan.PublicKey
	for i := 0; i+1 < len(words); i++ {
		p := hooks[key]
		switch words[i] {
		case "peer":
			key, _ = plan.ParsePublicKey(words[i+1])
			continue
		case "preshared-key":
			if hookPath(words[i+1]) {
				p.PresharedKeyFile = words[i+1]
			}
		case "persistent-keepalive":
			if n, err := strconv.ParseUint(words[i+1], 10, 16); err == nil {
				p.PersistentKeepalive = int(n)
			}
		default:
			continue
		}
		hooks[key] = p
	}
}

// withHooks adds what the hooks say, and drops peers without a usable key.
func withHooks(peers []plan.Peer, hooks map[plan.PublicKey]plan.Peer) []plan.Peer {
	var out []plan.Peer
	for _, p := range peers {
		if p.PublicKey.IsZero() {
			continue
		}
		h := hooks[p.PublicKey]
		p.PresharedKeyFile, p.PersistentKeepalive = h.PresharedKeyFile, h.PersistentKeepalive
		out = append(out, p)
	}
	return out
}

func join(list []netip.Prefix) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}
