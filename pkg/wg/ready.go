package wg

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// Live is what an interface is now, as the file of the next boot has to have it.
type Live struct {
	Port, MTU int            // as planned; 0: not known
	Endpoint  netip.AddrPort // as planned, since the live one moves
	// Key and Allowed are those of its only peer. The zero key: it has none, or several for a while.
	Key     plan.PublicKey
	Allowed []netip.Prefix
}

// in reports whether a wg-quick file makes it so.
func (l Live) in(text string) bool {
	has := func(key string, n int) bool {
		return n == 0 || strings.Contains(text, fmt.Sprintf("\n%s = %d\n", key, n))
	}
	return l.Key.IsZero() || has("ListenPort", l.Port) && has("MTU", l.MTU) &&
		slices.ContainsFunc(parse(text), func(p plan.Peer) bool {
			return p.PublicKey == l.Key && (!l.Endpoint.IsValid() || p.Endpoint == l.Endpoint) && l.allows(p.AllowedIPs)
		})
}

// allows reports whether these are the networks of its peer, which may have smaller ones in them, too (says).
func (l Live) allows(networks []netip.Prefix) bool {
	return len(minus(networks, l.Allowed)) == 0 && !slices.ContainsFunc(l.Allowed, func(n netip.Prefix) bool {
		return !slices.ContainsFunc(networks, func(outer netip.Prefix) bool {
			return outer.Bits() <= n.Bits() && outer.Contains(n.Addr())
		})
	})
}

// AtBoot lists the files from which the units of these interfaces make them at the next boot,
// and which are missing, or not as this module wrote them, or as they are live.
func (h *Host) AtBoot(interfaces map[string]Live) (wrong []string) {
	add := func(path string) {
		if !slices.Contains(wrong, path) {
			wrong = append(wrong, path)
		}
	}
	files, err := h.Files()
	if err != nil {
		return []string{h.directory}
	}
	for _, name := range slices.Sorted(maps.Keys(interfaces)) {
		f := files[name]
		if f.Text != f.Copy || !strings.HasSuffix(f.Text, end) || !interfaces[name].in(f.Text) {
			add(h.path(name))
		}
		for _, path := range hooked(f.Text) {
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				add(path)
			}
		}
	}
	if boot, err := h.Boot(); err != nil || boot == BootAbsent || boot == BootOutdated {
		add(filepath.Dir(bootDropIn))
	}
	return wrong
}

// hooked are the files that the hooks of a wg-quick file need: keys and the table.
func hooked(text string) (paths []string) {
	for line := range strings.Lines(text) {
		key, hook, _ := strings.Cut(line, " = ")
		if key != "PreUp" && key != "PostUp" {
			continue
		}
		for word := range strings.FieldsSeq(hook) {
			if _, err := plan.ParsePublicKey(word); err != nil && filepath.IsAbs(word) {
				paths = append(paths, word)
			}
		}
	}
	return paths
}
