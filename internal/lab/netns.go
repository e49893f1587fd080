package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

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
