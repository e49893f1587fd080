package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wgmesh/router/internal/lab/topology"
)

// serveDHCP runs a site's DHCP server at its gateway until the lab goes down: the
// base's dnsmasq, which reads its configuration from its input.
func (l *lab) serveDHCP(site topology.Site) error {
	config := l.Topology.DHCPConfig(site)
	if config == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(l.Dir, "hosts"), 0o755); err != nil {
		return err
	}
	scope, env, err := ownGroups(topology.Prefix(l.name) + "dhcp." + site.Name)
	if err != nil {
		return err
	}
	argv := slices.Concat([]string{"-ec", joinGroups + `exec "$0" "$@"`}, scope, []string{
		"nsenter", "--net=" + filepath.Join(netnsDir, l.Topology.Gateway(site.Name)),
		"chroot", l.Layers.Node[0], "/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=-",
	})
	cmd := exec.Command("/bin/sh", argv...)
	cmd.Stdin, cmd.Env = strings.NewReader(config), append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := leave(cmd, filepath.Join(l.Dir, "hosts", "dhcp-"+site.Name+".log")); err != nil {
		return fmt.Errorf("site %s: DHCP server: %w", site.Name, err)
	}
	return nil
}

// addressed waits until a host's own program has given its NICs their addresses and
// a default route.
func (l *lab) addressed(ctx context.Context, h topology.Host) error {
	if h.Profile.Client == "" {
		return nil
	}
	const limit = bootLimit
	missing := ""
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, err := command(ctx, time.Minute, "", "ip", "-n", l.Topology.Namespace(h.Name), "-o", "address")
		if err != nil {
			return err
		}
		routes, err := command(ctx, time.Minute, "", "ip", "-n", l.Topology.Namespace(h.Name),
			"route", "show", "default")
		if err != nil {
			return err
		}
		missing = ""
		for _, c := range l.Topology.Cards(h) {
			for _, a := range c.Addresses {
				if !strings.Contains(out, " "+a.String()+" ") {
					missing += " " + a.String()
				}
			}
			if !strings.Contains(routes, "dev "+c.Name+" ") {
				missing += " a default route of " + c.Name
			}
		}
		if missing == "" {
			return nil
		}
	}
	return fmt.Errorf("%s: lab_host.client: after %s %s has not set%s", h.Name, limit, h.Profile.Client, missing)
}
