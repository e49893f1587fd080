package meshstatus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	birdconfig "github.com/wgmesh/router/modules/bird_config"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/preflight"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/rtnl"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/sysctl"
	"github.com/wgmesh/router/pkg/venv"
	"github.com/wgmesh/router/pkg/version"
	"github.com/wgmesh/router/pkg/wg"
)

// systemctlTime is how long systemd may take to tell which units it starts at boot.
const systemctlTime = 5 * time.Second

// lookAtBoot adds what the next boot will not make as it is now, of a router that the mesh play set
// up. It reads the files that the modules write and asks systemd once. While a change waits they
// are not what they will be.
func (o Options) lookAtBoot(ctx context.Context, r status.Request, seen *status.Observation) {
	waits := slices.ContainsFunc(seen.Made, func(m status.Made) bool { return m.What == status.WaitingChange })
	var b birdconfig.Options
	b.SetDefaults()
	b.ControlSocket = o.Socket
	daemon, below := b.Places()
	if !seen.Probed || waits || !daemon.Manages() {
		return
	}
	wrong, shut, ours := daemon.AtBoot(ctx)
	if !ours {
		return
	}
	seen.Unready = map[string][]string{}
	lacks := func(play, word string, what ...string) {
		for _, one := range what {
			seen.Unready[play] = append(seen.Unready[play], strings.TrimSuffix(one, ".service")+" "+word)
		}
	}
	add := func(word string, what ...string) { lacks("the mesh play", word, what...) }
	live, units := tunnels(r, seen, daemon.Service)
	if len(r.Refused) > 0 {
		units = append([]string{floor.Unit}, units...)
		wrong = append(wrong, below.AtBoot(ctx, r.Refused)...)
	}
	off, err := disabled(ctx, units)
	add("is not enabled", off...)
	for _, o := range others("/", *seen) {
		off, later := disabled(ctx, o.units)
		err = cmp.Or(err, later)
		lacks(o.play, "is not enabled", off...)
		lacks(o.play, "is missing", o.missing...)
		lacks(o.play, "differs", o.differs...)
	}
	if shut != "" {
		add("is closed to BIRD", shut)
	}
	host, closed := wg.Open(plan.TunnelDirectory)
	if closed == nil {
		wrong = append(wrong, host.AtBoot(live)...)
		_ = host.Close()
	}
	seen.BootErr = cmp.Or(err, closed)
	six := slices.ContainsFunc(r.Prefixes, func(p plan.StatusPrefix) bool { return p.Network.Addr().Is6() })
	kept, defeated := sysctl.Host{Root: "/"}.AtBoot(six)
	if !kept {
		wrong = append(wrong, sysctl.Path)
	}
	for _, path := range wrong {
		if _, err := os.Lstat(path); err != nil {
			add("is missing", path)
		} else {
			add("differs", path)
		}
	}
	for _, d := range defeated {
		seen.Defeated = append(seen.Defeated, d.Key+"="+d.Found+" in "+d.By)
	}
}

// tunnels are the interfaces that are there, with their units after the one of BIRD.
func tunnels(r status.Request, seen *status.Observation, bird string) (live map[string]wg.Live, units []string) {
	live, units = map[string]wg.Live{}, []string{bird + ".service"}
	for i, t := range r.Tunnels {
		if seen.Tunnels[i].DeviceErr == nil {
			units = append(units, "wg-quick@"+t.Name+".service")
			live[t.Name] = alive(t, seen.Tunnels[i].Device)
		}
	}
	return live, units
}

// An other is what another play than the mesh play set up for each boot.
type other struct {
	play                    string
	units, missing, differs []string // of what the units run, and their files
}

// unitFiles are the unit files that other plays bring, each with the first half of its SHA-256. A drop-in of
// somebody's own is none of them.
var unitFiles = map[string]map[string]string{
	"wgmesh.router.routes": {"wgmesh-failover.service": "8ecd90507fa7a61a115491b8e7096a66"},
	"wgmesh.router.image": {
		"wgmesh-host-key.service":                 "34e753749f710fa92644f2e95e69e1d1",
		"wgmesh-join.service":                     "826266ea2d44033ebd18567fce5100cd",
		"wgmesh-join.timer":                       "fa57f2c0ea823a83f150361a352f8ec6",
		"wg-quick@.service.d/60-wgmesh-join.conf": "8b2fdc5eab666449e71572c26d44fc86",
	},
}

// others are the daemon of failover, where it runs now, and what joins by itself, where it is told how.
func others(root string, seen status.Observation) (out []other) {
	add := func(play string, units []string, programs ...string) {
		o := other{play: play, units: units, missing: slices.DeleteFunc(programs, func(path string) bool {
			_, err := os.Stat(filepath.Join(root, path))
			return err == nil
		})}
		for _, name := range slices.Sorted(maps.Keys(unitFiles[play])) {
			path := filepath.Join("/etc/systemd/system", name)
			text, err := os.ReadFile(filepath.Join(root, path))
			sum := sha256.Sum256(text)
			switch {
			case err != nil:
				o.missing = append(o.missing, path)
			case hex.EncodeToString(sum[:16]) != unitFiles[play][name]:
				o.differs = append(o.differs, path)
			}
		}
		out = append(out, o)
	}
	if seen.FailoverRuns {
		add("wgmesh.router.routes", []string{"wgmesh-failover.service"}, plan.FailoverProgram)
	}
	if _, err := os.Stat(filepath.Join(root, plan.JoinFile)); err == nil {
		add("wgmesh.router.image", []string{"wgmesh-host-key.service", "wgmesh-join.timer"},
			plan.JoinProgram, plan.JoinCloud)
	}
	return out
}

// alive is what an interface is now. One for several peers is not compared with its file.
func alive(t plan.StatusTunnel, d status.Device) (l wg.Live) {
	if d.Peer == nil || d.Peers != 1 {
		return l
	}
	l = wg.Live{Port: t.ListenPort, MTU: t.MTU, Endpoint: t.Endpoint, Key: d.Peer.Key}
	for _, n := range d.Peer.Allowed {
		if p, ok := rtnl.Prefix(&n); ok {
			l.Allowed = append(l.Allowed, p)
		}
	}
	return l
}

// disabled lists those of these units that systemd does not start at boot.
func disabled(ctx context.Context, units []string) ([]string, error) {
	said, err := program.Call{
		Name: "systemctl", Args: append([]string{"show", "--property=UnitFileState", "--"}, units...),
		Limit: systemctlTime,
	}.Run(ctx)
	if err != nil {
		return nil, err
	}
	return notEnabled(units, said.Out)
}

// notEnabled reads one line for each unit, in their order.
func notEnabled(units []string, text string) (off []string, err error) {
	states := strings.Fields(text)
	if len(states) != len(units) {
		return nil, fmt.Errorf("systemctl show says %d states of %d units", len(states), len(units))
	}
	for i, state := range states {
		switch strings.TrimPrefix(state, "UnitFileState=") {
		case "", "bad", "disabled", "enabled-runtime", "masked":
			off = append(off, units[i])
		}
	}
	return off, nil
}

// look adds when the keys and the image of a router were made, what it waits for, and what runs
// beside BIRD. Nothing of it decides about its health, so what cannot be read is not known.
func look(root string, seen *status.Observation) {
	file := func(what, path string) {
		if info, err := os.Lstat(filepath.Join(root, path)); err == nil {
			seen.Made = append(seen.Made, status.Made{What: what, At: info.ModTime()})
		}
	}
	file(status.PrivateKey, plan.PrivateKeyFile)
	file(status.Image, plan.ImageFile)
	for _, r := range psk.Records(filepath.Join(root, plan.PSKDirectory)) {
		seen.Made = append(seen.Made, status.Made{
			What: status.PresharedKey, Peer: r.Peer, At: time.UnixMilli(r.Generation),
		})
	}
	g := guard.Guard{Folder: filepath.Join(root, plan.UndoDirectory), Run: filepath.Join(root, plan.RunDirectory)}
	if j, err := g.Read(); err != nil { // nobody can take that back
		seen.UndoFails = err.Error()
		file(status.WaitingChange, plan.UndoJournal)
	} else if j != nil {
		seen.UndoFails = said(g.Waiter(j.ID), 200)
		seen.Made = append(seen.Made, status.Made{What: status.WaitingChange, At: j.Since})
	}
	seen.Reboot = status.RebootBy(root)
	seen.Closed = preflight.Closed(root)
	for _, program := range []string{plan.JoinProgram, plan.JoinCloud, plan.FailoverProgram} {
		path := filepath.Join(root, program)
		if _, err := os.Stat(path); err == nil && version.Of(path) != version.Commit &&
			version.Commit != version.Unknown {
			seen.OtherBuild = append(seen.OtherBuild, program)
		}
	}
	seen.AnsibleDead = venv.Dead(filepath.Join(root, plan.AnsibleBin))
	_, err := os.Stat(filepath.Join(root, plan.FailoverRun))
	seen.FailoverRuns = err == nil
	seen.Watched = watched(filepath.Join(root, plan.FailoverFile))
	seen.FailoverFails = said(filepath.Join(root, plan.FailoverFails), 200)
	seen.FailoverRests = strings.Fields(said(filepath.Join(root, plan.FailoverRests), 1<<16))
}

// watched is what the daemon of failover was told, which is nothing where that cannot be read.
// Its file has more than the plan.
func watched(path string) (f plan.Failover) {
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &f) != nil {
		return plan.Failover{}
	}
	return f
}

// said is what a daemon says, in one line of at most so many bytes. Its account may not be root, so
// nothing is read but a file of that account: what it links to may be anybody's.
func said(path string, most int64) string {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return ""
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() ||
		info.Sys().(*syscall.Stat_t).Uid != folder.Sys().(*syscall.Stat_t).Uid {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(f, most))
	return cause.Line(string(text), int(most))
}
