package wg

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the script is a file of its own, for shellcheck
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/unread"
)

// end is the last line of every file of ours. A file without it breaks off.
const end = "# end\n"

//go:embed boot.sh
var bootScript string

// dropIn joins every wg-quick unit to the script beside it. ExecCondition is
// what runs before the wg-quick of the unit; the script never skips anything.
//
// At boot a tunnel gets the processor before what else starts then, cloud-init above all, and a
// WireGuard in user space keeps it. That one holds keys: it dumps no core, and its memory goes to
// no swap (not locked: it is a program of others, and its buffers are large).
func dropIn(machine string) string {
	return `# Written by the Ansible module wgmesh.router.wg_tunnel.
[Service]
CPUWeight=1000
LimitCORE=0
MemorySwapMax=0
SyslogIdentifier=wg-quick
ExecCondition=/bin/sh ` + strings.TrimSpace(bootFolder+`/50-wgmesh.sh up %i `+machine) + `
ExecStart=
ExecStart=/bin/sh ` + bootFolder + `/50-wgmesh.sh start %i
ExecStartPost=-/bin/sh ` + bootFolder + `/50-wgmesh.sh after %i
ExecReload=
ExecReload=/bin/sh ` + bootFolder + `/50-wgmesh.sh reload %i
`
}

// machineMark identifies this machine to the drop-in, so that a cloned disk does not
// bring the tunnels up and take the traffic of the first machine. It does not reveal
// machine-id(5), and is "" without one.
func machineMark(path string) (string, error) {
	id, err := os.ReadFile(path)
	switch id = bytes.TrimSpace(id); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case len(id) != 32:
		return "", nil
	}
	sum := sha256.Sum256([]byte("wgmesh.router boot " + string(id) + "\n"))
	return hex.EncodeToString(sum[:]), nil
}

const (
	bootFolder = "/etc/systemd/system/wg-quick@.service.d"
	bootDropIn = bootFolder + "/50-wgmesh.conf"

	// bootUnread is there while systemd has yet to read them.
	bootUnread unread.Note = plan.RunDirectory + "/unread-wg-quick@.service"
)

// tableDropIn brings our table back: the distributions' nftables.service flushes
// everybody's tables when it starts, is reloaded or ends.
func tableDropIn(file string) string {
	load := "=-/bin/sh -c '[ ! -e " + file + " ] || exec nft -f " + file + "'\n"
	return "# Written by the Ansible module wgmesh.router.wg_tunnel.\n[Service]\n" +
		"ExecStartPost" + load + "ExecReload" + load + "ExecStopPost" + load
}

// Bind reports whether the tunnels belong to this machine: they do not come up at boot in
// another one. Nil leaves it as it is, which is so without a word against it.
func (h *Host) Bind(bind *bool) {
	if bind == nil {
		text, _ := os.ReadFile(bootDropIn) // what is not there says nothing, and Boot what cannot be read
		free := strings.Contains(string(text), "/50-wgmesh.sh up %i\n")
		bind = new(bool)
		*bind = !free
	}
	h.machine, h.unknown = "", nil
	if *bind {
		h.machine, h.unknown = machineMark("/etc/machine-id")
	}
}

// bootFiles are what systemd needs beside the units, by path.
func (h *Host) bootFiles() []struct{ path, text string } {
	// The script first: a drop-in without it would skip every tunnel.
	return []struct{ path, text string }{
		{filepath.Join(bootFolder, "50-wgmesh.sh"), bootScript},
		{bootDropIn, dropIn(h.machine)},
		{
			"/etc/systemd/system/nftables.service.d/50-wgmesh.conf",
			tableDropIn(Want{Directory: systemDirectory}.mssFile()),
		},
	}
}

// Boot tells how much of the drop-in is in place.
func (h *Host) Boot() (Boot, error) {
	if !h.systemd {
		return BootUnmanaged, nil
	}
	if h.unknown != nil {
		return "", h.unknown
	}
	found, right := 0, 0
	for _, f := range h.bootFiles() {
		text, err := os.ReadFile(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", err
		}
		if err := mark.Foreign(f.path, text); err != nil {
			return "", err
		}
		found++
		if string(text) == f.text {
			right++
		}
	}
	due := bootUnread.Due()
	switch {
	case right == len(h.bootFiles()) && !due:
		return BootCurrent, nil
	case found > 0, due:
		return BootOutdated, nil
	}
	return BootAbsent, nil
}

// SetBoot writes the drop-in, or takes it away.
func (h *Host) SetBoot(ctx context.Context, present bool) error {
	files := h.bootFiles()
	return bootUnread.Around(func() error {
		for i := range files {
			var err error
			if present {
				if err := os.MkdirAll(filepath.Dir(files[i].path), 0o755); err != nil {
					return err
				}
				err = atomicfile.Write(files[i].path, []byte(files[i].text), 0o644)
			} else {
				err = atomicfile.Remove(files[len(files)-1-i].path)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, func() error {
		_, err := program.Run(ctx, "systemctl", "daemon-reload")
		return err
	})
}

// The states of the drop-in.
const (
	BootUnmanaged Boot = ""
	BootAbsent    Boot = "absent"
	BootOutdated  Boot = "outdated" // or systemd has yet to read it
	BootCurrent   Boot = "current"
)

// Boot is the state of the drop-in that every wg-quick unit has.
type Boot string

// diffBoot returns whether the drop-in has to come or to go, nil when it is
// right. With no tunnel wanted it stays, unless all is purged and nobody else has one.
func diffBoot(w Want, s Have) *bool {
	present := len(w.Tunnels) > 0
	switch {
	case s.Boot == BootUnmanaged, present && s.Boot == BootCurrent, !present &&
		(s.Boot == BootAbsent || !w.Purge || len(s.others(w)) > 0):
		return nil
	}
	return &present
}

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
