package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wgmesh/router/internal/lab/profile"
	"github.com/wgmesh/router/internal/lab/topology"
)

// oneThread has each wireguard-go run on one thread, also at boot. A lab has dozens of them on few
// processors, and one of several threads wakes them for each packet of BFD: thrice the time.
var oneThread = profile.File{
	Path: "etc/systemd/system.conf.d/lab.conf",
	Text: "[Manager]\nDefaultEnvironment=GOMAXPROCS=1\n",
	Mode: 0o644,
}

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
	files := []profile.File{
		{Path: "etc/hostname", Text: h.Hostname() + "\n", Mode: 0o644},
		{Path: "etc/hosts", Text: hosts, Mode: 0o644},
		{Path: "etc/machine-id", Mode: 0o644}, // its own one is made at the first boot
		{Path: "root/.ssh/authorized_keys", Text: string(key), Mode: 0o600},
	}
	if h.Kind == topology.Router {
		files = append(files, oneThread)
		files = append(files, h.Profile.Files(l.Topology.Cards(h), h.Management())...)
	}
	for _, f := range files {
		if err := place(upper, f); err != nil {
			return err
		}
	}
	return l.addLogin(h, upper, key)
}

func place(root string, f profile.File) error {
	path := filepath.Join(root, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if f.Link != "" {
		return os.Symlink(f.Link, path)
	}
	if err := os.WriteFile(path, []byte(f.Text), f.Mode); err != nil {
		return err
	}
	return os.Chmod(path, f.Mode) // whatever the umask
}

// addLogin adds the host's login to those of the image.
func (l *lab) addLogin(h topology.Host, upper string, key []byte) error {
	name := h.Profile.Login
	if name == "" {
		return nil
	}
	password := "*" // none, and not locked: sshd refuses that
	if h.Profile.Sudo == "password" {
		password = profile.Crypted
	}
	for _, add := range []struct {
		path, line string
		mode       os.FileMode
	}{
		{"etc/passwd", name + ":x:1000:1000::/home/" + name + ":/bin/bash\n", 0o644},
		{"etc/group", name + ":x:1000:\n", 0o644},
		{"etc/shadow", name + ":" + password + ":19700:0:99999:7:::\n", 0o640},
	} {
		old, err := l.ofImage(h.Image, add.path)
		if err == nil {
			err = place(upper, profile.File{Path: add.path, Text: string(old) + add.line, Mode: add.mode})
		}
		if err != nil {
			return fmt.Errorf("%s: login %s: %w", h.Name, name, err)
		}
	}
	home := "home/" + name
	if err := place(upper, profile.File{
		Path: home + "/.ssh/authorized_keys",
		Text: string(key),
		Mode: 0o600,
	}); err != nil {
		return err
	}
	for _, path := range []string{home, home + "/.ssh", home + "/.ssh/authorized_keys"} {
		if err := os.Chown(filepath.Join(upper, path), 1000, 1000); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) ofImage(image, path string) ([]byte, error) {
	for _, layer := range l.Layers.Routers[image] {
		text, err := os.ReadFile(filepath.Join(layer, path))
		if !os.IsNotExist(err) {
			return text, err
		}
	}
	return nil, os.ErrNotExist
}

// container starts one host. The overlay is mounted in a mount namespace of the container's own, so
// that it is gone with the last process and never seen outside. $0 is the host's name; then come
// the overlay's options, the mount point and the command.
const container = `
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t overlay "$0" -o "$1" "$2"
shift 2
` + joinGroups + `exec "$@" </dev/null
`

// boot starts the container of a host that is connected. It returns as soon as
// the process runs; answers tells when the host can be used.
func (l *lab) boot(ctx context.Context, h topology.Host) error {
	if err := l.furnish(h); err != nil {
		return err
	}
	name, dir := l.Topology.Namespace(h.Name), l.hostDir(h.Name)
	lower := l.Layers.Routers[h.Image]
	if h.Kind == topology.Node {
		lower = l.Layers.Node
	}
	overlay := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", strings.Join(lower, ":"), dir, dir)
	argv := []string{"-ec", container, name, overlay, dir + "/root"}
	env := append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
		"SYSTEMD_NSPAWN_API_VFS_WRITABLE=network") // /proc/sys/net is the host's own
	scope, groups, err := ownGroups(name)
	if err != nil {
		return err
	}
	env = append(env, groups...)
	argv = append(argv, scope...)
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
	cmd := exec.Command("/bin/sh", argv...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Unshareflags: syscall.CLONE_NEWNS}
	if err := leave(cmd, filepath.Join(dir, "console.log")); err != nil {
		return fmt.Errorf("%s: container: %w", h.Name, err)
	}
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
