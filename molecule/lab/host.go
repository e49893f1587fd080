package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wgmesh/router/molecule/lab/topology"
)

// furnish writes a host's own files into the upper layer of its root, once.
func (l *lab) furnish(h topology.Host) error {
	upper := filepath.Join(l.hostDir(h.Name), "upper")
	if _, err := os.Stat(upper); err == nil {
		return nil
	}
	key, err := os.ReadFile(l.files().Key + ".pub")
	if err != nil {
		return err
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{
		{upper, 0o755},
		{upper + "/etc", 0o755},
		{upper + "/root", 0o700},
		{upper + "/root/.ssh", 0o700},
		{l.hostDir(h.Name) + "/work", 0o700},
		{l.hostDir(h.Name) + "/root", 0o755},
	} {
		if err := os.MkdirAll(d.path, d.mode); err != nil {
			return err
		}
	}
	hosts := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1\t" + h.Hostname() + "\n"
	for name, text := range map[string]string{
		"etc/hostname":              h.Hostname() + "\n",
		"etc/hosts":                 hosts,
		"etc/machine-id":            "", // its own one is made at the first boot
		"root/.ssh/authorized_keys": string(key),
	} {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "root") {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(upper, name), []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}

// container starts one host. The overlay is mounted in a mount namespace of the
// container's own, so that it is gone with the last process and never seen
// outside. $0 is the host's name; then come the overlay's options, the mount
// point and the command.
const container = `
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t overlay "$0" -o "$1" "$2"
shift 2
for g in $GROUPS_OF_HOST; do echo $$ > "$g/cgroup.procs"; done
unset GROUPS_OF_HOST
exec "$@" </dev/null
`

// boot starts the container of a host that is connected. It returns as soon as
// the process runs; answers tells when the host can be used.
func (l *lab) boot(ctx context.Context, h topology.Host) error {
	if err := l.furnish(h); err != nil {
		return err
	}
	name, dir := l.Topology.Namespace(h.Name), l.hostDir(h.Name)
	lower := l.Layers.Router
	if h.Kind == topology.Node {
		lower = l.Layers.Node
	}
	overlay := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", strings.Join(lower, ":"), dir, dir)
	argv := []string{"-ec", container, name, overlay, dir + "/root"}
	env := append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
		"SYSTEMD_NSPAWN_API_VFS_WRITABLE=network") // /proc/sys/net is the host's own
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		// Where systemd rules the cgroups it is asked for one.
		argv = append(argv, "systemd-run", "--quiet", "--scope", "--collect", "--unit="+name+".scope", "--property=Delegate=yes")
	} else {
		own, err := makeGroups(name)
		if err != nil {
			return err
		}
		env = append(env, "GROUPS_OF_HOST="+strings.Join(own, " "))
	}
	argv = append(argv, "systemd-nspawn", "--quiet", "--directory="+dir+"/root",
		fmt.Sprintf("--machine=wgmesh-%s-%d", l.name, h.Number), "--hostname="+h.Hostname(),
		"--network-namespace-path="+filepath.Join(netnsDir, name),
		"--register=no", "--keep-unit", "--settings=no", "--private-users=no", "--notify-ready=no",
		"--capability=CAP_NET_ADMIN", "--bind=/dev/net/tun", "--suppress-sync=yes",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe")
	if h.Kind == topology.Router {
		argv = append(argv, "--boot")
	} else {
		argv = append(argv, "--as-pid2", "/bin/sh", "-c", "mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e")
	}
	log, err := os.OpenFile(filepath.Join(dir, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", argv...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: container: %w", h.Name, err)
	}
	go func() { _ = cmd.Wait() }() // if it ends while we are here, it leaves no zombie
	return ctx.Err()
}

// consoleTail is the end of a host's console, for the error that it did not come.
func (l *lab) consoleTail(name string) string {
	text, err := os.ReadFile(filepath.Join(l.hostDir(name), "console.log"))
	if err != nil || len(text) == 0 {
		return "its console is empty"
	}
	return "its console ends: " + strings.ReplaceAll(strings.TrimSpace(last(string(text), 300)), "\n", " / ")
}
