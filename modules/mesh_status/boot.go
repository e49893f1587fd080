package meshstatus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	birdconfig "github.com/wgmesh/router/modules/bird_config"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/rtnl"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/sysctl"
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
	b.ControlSocket = o.ControlSocket
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
	"wgmesh.router.routes": {"wgmesh-failover.service": "25132836053c3a5471b401489799c08d"},
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
