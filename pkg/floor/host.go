package floor

import (
	"context"
	_ "embed" // the script is a file of its own, for shellcheck
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/unread"
)

// A Host names the places where the floor lives on a host.
type Host struct {
	mark.Owner
	Folder   string // of the list and its script, normally /etc/wgmesh
	Units    string // of systemd's units, normally /etc/systemd/system; empty: nothing at boot
	Networkd string // of drop-ins for networkd.conf, beside Units
	Service  string // of BIRD, which starts after the floor
	Run      string // emptied by a reboot
	// Systemctl runs it; nil is exec.
	Systemctl func(ctx context.Context, args ...string) error `json:"-"`
}

// Unit loads the floor at boot.
const Unit = "wgmesh-floor.service"

const (
	script = "floor.sh"

	networkdUnit = "systemd-networkd.service"
	inactive     = 3 // the least status of systemctl is-active for a unit that does not run
)

//go:embed floor.sh
var scriptText string

func (h Host) list() string     { return filepath.Join(h.Folder, "floor") }
func (h Host) unit() string     { return filepath.Join(h.Units, Unit) }
func (h Host) wants() string    { return filepath.Join(h.Units, "sysinit.target.wants", Unit) }
func (h Host) networkd() string { return filepath.Join(h.Networkd, "50-wgmesh.conf") }

// paths are those of all files, in the order in which they are written. A unit
// without its script would fail.
func (h Host) paths() []string {
	out := []string{h.list()}
	if h.Units != "" {
		out = append(out, filepath.Join(h.Folder, script), h.networkd(), h.unit())
	}
	return out
}

func (h Host) files(all []netip.Prefix) []File {
	if len(all) == 0 {
		return nil
	}
	out := []File{{h.list(), string(Text(h.Owner, all))}}
	if h.Units != "" {
		out = append(out, File{filepath.Join(h.Folder, script), scriptText},
			File{h.networkd(), networkdText}, File{h.unit(), h.unitText()})
	}
	return out
}

// networkdText keeps networkd from removing routes that it did not make, the floor's
// and BIRD's, whenever it starts or configures an interface. networkd of systemd 257
// does that to unreachable ones too. Since 249 it removes the rules of others as well
// (https://github.com/systemd/systemd/issues/19106), and next hops: it is we who restart it.
// One that does not know a name logs that, and goes on (networkd.conf(5)).
const networkdText = `# Written by the Ansible module wgmesh.router.bird_config.
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
ManageForeignNextHops=no
`

// unitText orders the floor before the sysctls, which switch forwarding on, before all networks,
// and before BIRD. A stop takes nothing away: at a shutdown BIRD ends while packets still come.
func (h Host) unitText() string {
	before := "network-pre.target systemd-sysctl.service"
	if h.Service != "" {
		before += " " + h.Service + ".service"
	}
	return `# Written by the Ansible module wgmesh.router.bird_config.
[Unit]
Description=Refuse packets for other sites that no tunnel has a way to
DefaultDependencies=no
RequiresMountsFor=` + h.Folder + `
Before=` + before + `

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh ` + filepath.Join(h.Folder, script) + " " + h.list() + `

[Install]
WantedBy=sysinit.target
`
}

// note is there while systemd, or networkd, has yet to read the file at path.
func (h Host) note(path string) unread.Note { return unread.At(h.Run, filepath.Base(path)) }

// unreadMark is behind a text that was not read again. It makes it another one.
const unreadMark = "# not read again since it was written\n"

// Observe reads all of it and writes nothing.
func (h Host) Observe(context.Context) (Have, error) {
	s := Have{IPv6: takesIPv6("/")}
	for _, path := range h.paths() {
		text, err := os.ReadFile(path)
		absent := errors.Is(err, fs.ErrNotExist)
		if err != nil && !absent {
			return s, err
		}
		if err := mark.Foreign(path, text); err != nil {
			return s, err
		}
		due := h.note(path).Due()
		if absent && (!due || path != h.unit()) { // systemd may still have a unit that is gone
			continue
		}
		if due {
			text = append(text, unreadMark...)
		}
		s.Files = append(s.Files, File{path, string(text)})
	}
	if h.Units != "" {
		_, err := os.Lstat(h.wants())
		s.Enabled = err == nil
	}
	var err error
	s.Routes, err = observe()
	return s, err
}

// Apply takes the steps and returns what was done, also when one fails. What refuses
// more comes first, what refuses less comes last.
func (h Host) Apply(ctx context.Context, d Delta) (done []string, err error) {
	if done, err = change(d.Add, add, "refuse %s while no tunnel has a way to it", "added", nil); err != nil {
		return done, err
	}
	place := func() error { return h.place(ctx, d, &done) }
	ofUnit := func(f File) bool { return f.Path == h.unit() }
	if !slices.ContainsFunc(d.Write, ofUnit) && !slices.Contains(d.Delete, h.unit()) {
		err = place()
	} else {
		err = h.note(h.unit()).Around(place, func() error {
			if d.Enable { // which does it, too
				return nil
			}
			return h.systemctl(ctx, "daemon-reload")
		})
	}
	if err != nil {
		return done, err
	}
	return change(d.Remove, remove, "no longer refuse %s", "removed", done)
}

// place writes and removes files, and adds what it did to done.
func (h Host) place(ctx context.Context, d Delta, done *[]string) error {
	did := func(words string) { *done = append(*done, words) }
	for _, f := range d.Write {
		write := func() error {
			if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
				return err
			}
			err := atomicfile.Write(f.Path, []byte(f.Text), 0o644)
			if err == nil {
				did("wrote " + f.Path)
			}
			return err
		}
		var err error
		if f.Path == h.networkd() {
			err = h.note(f.Path).Around(write, func() error { return h.restartNetworkd(ctx, did) })
		} else {
			err = write()
		}
		if err != nil {
			return err
		}
	}
	for verb, wanted := range map[string]bool{"enable": d.Enable, "disable": d.Disable} {
		if !wanted {
			continue
		}
		if err := h.systemctl(ctx, verb, "--now", Unit); err != nil {
			return err
		}
		did(verb + "d " + Unit)
	}
	for _, path := range d.Delete {
		if err := atomicfile.Remove(path); err != nil {
			return err
		}
		did("removed " + path)
	}
	return nil
}

// restartNetworkd has it read its file, which it does at a start only, and then keep all routes.
func (h Host) restartNetworkd(ctx context.Context, did func(string)) error {
	err := h.systemctl(ctx, "is-active", "--quiet", networkdUnit)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() >= inactive {
		return nil
	}
	if err == nil {
		err = h.systemctl(ctx, "restart", networkdUnit)
	}
	if err == nil {
		did("restarted systemd-networkd, which leaves the routes alone from now on")
	}
	return err
}

func change(routes []Route, do func(Route) error, words, rule string, done []string) ([]string, error) {
	for _, r := range routes {
		if err := do(r); err != nil {
			return done, fmt.Errorf("unreachable route, or rule, of %s: %w", r.Network, err)
		}
		said := fmt.Sprintf(words, r.Network)
		if r.isRule() {
			said = rule + " the rule of " + r.Network.String() + " for the router's own packets"
		}
		done = append(done, said)
	}
	return done, nil
}

// Load makes the kernel agree with the list, for who has put the file back.
func (h Host) Load(ctx context.Context) error {
	have, err := h.Observe(ctx)
	if err != nil {
		return err
	}
	d := h.Diff(Want{Networks: Parse([]byte(have.text(h.list())))}, have)
	_, err = h.Apply(ctx, Delta{Add: d.Add, Remove: d.Remove})
	return err
}

func (h Host) systemctl(ctx context.Context, args ...string) error {
	if h.Systemctl != nil {
		return h.Systemctl(ctx, args...)
	}
	_, err := program.Run(ctx, "systemctl", args...)
	return err
}

// Touched lists the files that a delta writes or removes.
func (h Host) Touched(d Delta) []string {
	files := append([]string{}, d.Delete...)
	for _, f := range d.Write {
		files = append(files, f.Path)
	}
	if d.Enable || d.Disable {
		files = append(files, h.wants())
	}
	return files
}

// AtBoot lists the files that refuse these networks at the next boot, and which are missing or
// not as this module wrote them.
func (h Host) AtBoot(ctx context.Context, networks []netip.Prefix) (wrong []string) {
	have, err := h.Observe(ctx)
	if err != nil {
		return []string{h.list()}
	}
	text := have.text(h.list())
	h.Mesh = mark.Of(text)
	there := Parse([]byte(text))
	open := slices.DeleteFunc(slices.Clone(networks), func(n netip.Prefix) bool {
		return slices.ContainsFunc(there, func(outer netip.Prefix) bool {
			return outer.Bits() > 0 && outer.Bits() <= n.Bits() && outer.Contains(n.Addr())
		})
	})
	for _, f := range h.Diff(Want{Networks: open, Keep: true}, have).Write {
		wrong = append(wrong, f.Path)
	}
	return wrong
}
