package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/lab/topology"
)

// forwarder makes a namespace a router that answers for the addresses behind it
// at once, lets asymmetric paths be, and sends every ICMP error.
var forwarder = []string{
	"ipv4/ip_forward=1", "ipv6/conf/all/forwarding=1",
	"ipv4/conf/all/rp_filter=0", "ipv4/conf/default/rp_filter=0",
	"ipv4/conf/all/send_redirects=0", "ipv4/conf/default/send_redirects=0",
	"ipv4/conf/all/proxy_arp=1", "ipv6/conf/all/proxy_ndp=1",
	"ipv6/conf/default/accept_dad=0", "ipv6/conf/all/accept_dad=0",
	"ipv4/icmp_ratelimit=0", "ipv6/icmp/ratelimit=0",
}

// fresh gives a host what a distribution gives a new machine: it forwards nothing and filters
// reverse paths loosely. Without it a namespace takes over what the lab's own machine has set.
var fresh = []string{
	"ipv4/ip_forward=0", "ipv6/conf/all/forwarding=0",
	"ipv4/conf/all/rp_filter=2", "ipv4/conf/default/rp_filter=2",
	"ipv6/conf/all/disable_ipv6=0", "ipv6/conf/default/disable_ipv6=0",
	"ipv6/conf/default/accept_dad=0", "ipv6/conf/all/accept_dad=0",
	"ipv6/conf/default/accept_ra=0", "ipv6/conf/all/accept_ra=0",
	"ipv4/ip_local_reserved_ports=",
}

func (l *lab) network(ctx context.Context) error {
	t := l.Topology
	if err := addNamespaces(ctx, t.Namespaces()...); err != nil {
		return err
	}
	for _, ns := range t.Namespaces() {
		values := forwarder
		if ns == t.Management() {
			values = fresh
		}
		if err := sysctls(ns, values...); err != nil {
			return err
		}
	}
	if err := ip(ctx, t.Management(), t.BridgeScript()); err != nil {
		return err
	}
	if err := ip(ctx, t.Internet(), t.InternetScript()); err != nil {
		return err
	}
	for _, s := range t.Sites {
		if err := ip(ctx, t.Gateway(s.Name), t.GatewayScript(s)); err != nil {
			return err
		}
		if err := nft(ctx, t.Gateway(s.Name), t.NATScript(s)); err != nil {
			return err
		}
		if err := l.serveDHCP(s); err != nil {
			return err
		}
	}
	return ip(ctx, t.Internet(), t.EndpointScript())
}

func (l *lab) connect(ctx context.Context, h topology.Host) error {
	t := l.Topology
	ns := t.Namespace(h.Name)
	if err := addNamespaces(ctx, ns); err != nil {
		return err
	}
	if err := sysctls(ns, fresh...); err != nil {
		return err
	}
	if h.Profile.NoIPv6 {
		if err := sysctls(ns, "ipv6/conf/all/disable_ipv6=1", "ipv6/conf/default/disable_ipv6=1"); err != nil {
			return err
		}
	}
	if err := ip(ctx, t.Management(), t.ManageScript(h)); err != nil {
		return err
	}
	if err := sysctls(ns, "ipv6/conf/mgmt0/disable_ipv6=0"); err != nil {
		return err
	}
	if h.Site != "" {
		if err := ip(ctx, t.Gateway(h.Site), t.ConnectScript(h)); err != nil {
			return err
		}
		// Per interface only: else the first packet to a neighbour waits 0.8 s.
		for _, port := range h.Ports() {
			if err := sysctls(t.Gateway(h.Site), "ipv4/neigh/"+port+"/proxy_delay=0",
				"ipv6/neigh/"+port+"/proxy_delay=0"); err != nil {
				return err
			}
		}
	}
	return ip(ctx, ns, t.ManagedScript(h)+t.HostScript(h))
}

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

const netnsDir = "/run/netns"

// ip runs a batch of ip(8) lines in a network namespace; "" is the lab's own.
// Lines that begin with "-6 " are run after the others.
func ip(ctx context.Context, ns, script string) error {
	var four, six strings.Builder
	for line := range strings.Lines(script) {
		if rest, ok := strings.CutPrefix(line, "-6 "); ok {
			six.WriteString(rest)
			continue
		}
		four.WriteString(line)
	}
	argv := []string{"ip"}
	if ns != "" {
		argv = []string{"ip", "-n", ns}
	}
	if _, err := command(ctx, time.Minute, four.String(), append(argv, "-batch", "-")...); err != nil {
		return err
	}
	if six.Len() == 0 {
		return nil
	}
	_, err := command(ctx, time.Minute, six.String(), append(argv, "-6", "-batch", "-")...)
	return err
}

func nft(ctx context.Context, ns, ruleset string) error {
	_, err := command(ctx, time.Minute, ruleset, "nsenter", "--net="+filepath.Join(netnsDir, ns), "nft", "-f", "-")
	return err
}

// within calls f on a thread inside a network namespace. The thread ends with it,
// so that no other code ever runs in there.
func within(ns string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		fd, err := unix.Open(filepath.Join(netnsDir, ns), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			done <- fmt.Errorf("namespace %s: %w", ns, err)
			return
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("namespace %s: %w", ns, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// sysctls sets values below /proc/sys/net in a network namespace. What the kernel
// does not have is left.
func sysctls(ns string, values ...string) error {
	return within(ns, func() error {
		for _, v := range values {
			key, value, _ := strings.Cut(v, "=")
			path := filepath.Join("/proc/thread-self/root/proc/sys/net", key)
			if err := os.WriteFile(path, []byte(value), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("namespace %s: %w", ns, err)
			}
		}
		return nil
	})
}

func addNamespaces(ctx context.Context, names ...string) error {
	return ip(ctx, "", "netns add "+strings.Join(names, "\nnetns add ")+"\n")
}

func namespaces(prefix string) []string {
	entries, _ := os.ReadDir(netnsDir)
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			out = append(out, e.Name())
		}
	}
	return out
}

// deleteNamespace removes a name; the namespace goes when nothing is in it. The
// name of a lab that was killed half-way may be a mere file.
func deleteNamespace(name string) error {
	path := filepath.Join(netnsDir, name)
	_ = unix.Unmount(path, unix.MNT_DETACH)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
