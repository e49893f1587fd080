package meshstatus

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	birdconfig "github.com/wgmesh/router/modules/bird_config"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/plan"
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
	add := func(word string, what ...string) {
		for _, one := range what {
			seen.Unready = append(seen.Unready, strings.TrimSuffix(one, ".service")+" "+word)
		}
	}
	live := map[string]wg.Live{}
	units := []string{daemon.Service + ".service"}
	for i, t := range r.Tunnels {
		if seen.Tunnels[i].DeviceErr == nil {
			units = append(units, "wg-quick@"+t.Name+".service")
			live[t.Name] = alive(t, seen.Tunnels[i].Device)
		}
	}
	if len(r.Refused) > 0 {
		units = append([]string{floor.Unit}, units...)
		wrong = append(wrong, below.AtBoot(ctx, r.Refused)...)
	}
	add("is not enabled", disabled(ctx, units)...)
	if shut != "" {
		add("is closed to BIRD", shut)
	}
	if host, err := wg.Open(plan.TunnelDirectory); err == nil {
		wrong = append(wrong, host.AtBoot(live)...)
		_ = host.Close()
	}
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

// disabled lists those of these units that systemd does not start at boot; none, where it does not tell.
func disabled(ctx context.Context, units []string) []string {
	ctx, cancel := context.WithTimeout(ctx, systemctlTime)
	defer cancel()
	text, err := exec.CommandContext(ctx, "systemctl",
		append([]string{"show", "--property=UnitFileState", "--"}, units...)...).Output()
	if err != nil {
		return nil
	}
	return notEnabled(units, string(text))
}

// notEnabled reads one line for each unit, in their order.
func notEnabled(units []string, text string) (off []string) {
	states := strings.Fields(text)
	if len(states) != len(units) {
		return nil
	}
	for i, state := range states {
		switch strings.TrimPrefix(state, "UnitFileState=") {
		case "", "bad", "disabled", "enabled-runtime", "masked":
			off = append(off, units[i])
		}
	}
	return off
}
