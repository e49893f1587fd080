// Package nettest is where tests get their networks: namespaces with cables between
// them, WireGuard, BIRD, and our own program inside.
package nettest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Need fails the test when the machine lacks root or a tool: a test that is skipped proves nothing.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	require.Zero(t, os.Geteuid(), "this test needs root, for a network namespace")
	for _, tool := range tools {
		_, err := exec.LookPath(tool)
		require.NoError(t, err, "this test needs %s: make setup", tool)
	}
}

// Unique makes a name of an interface or namespace that no other test run has: the
// sockets of wireguard-go are shared by all namespaces. It has the process in it, of at most
// 4,194,304 (proc(5), pid_max), since an interface's name has 15 characters.
func Unique(suffix string) string {
	return fmt.Sprintf("wt%05s%s", strconv.FormatInt(int64(os.Getpid()), 36), suffix)
}

// maker is the process that a name of Unique has in it.
func maker(name string) (pid int64, ok bool) {
	if len(name) < 7 || name[:2] != "wt" {
		return 0, false
	}
	pid, err := strconv.ParseInt(name[2:7], 36, 64)
	return pid, err == nil
}

// Alone puts the test's thread into a network namespace that ends with it. Subtests
// run on other threads, outside.
func Alone(t testing.TB) {
	t.Helper()
	Need(t, "ip")
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	Run(t, "ip", "link", "set", "lo", "up")
}

// A Namespace is a network namespace that goes away with the test.
type Namespace struct{ Name string }

// New makes a namespace in which lo is up.
func New(t testing.TB, label string) Namespace {
	t.Helper()
	Need(t, "ip")
	reclaim()
	n := Namespace{Unique(label)}
	Run(t, "ip", "netns", "add", n.Name)
	t.Cleanup(n.remove)
	n.IP(t, "link", "set", "lo", "up")
	return n
}

// remove takes interfaces first: their wireguard-go processes end with them, and take away the
// socket of that name, which all namespaces share.
func (n Namespace) remove() {
	const script = `for i in $(ip -n $0 -o link | grep -o "$1[0-9a-z]*:" | tr -d :); do ip -n $0 link del $i
		n=0; while [ -e /var/run/wireguard/$i.sock ] && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.05; done
	done; ip netns del $0`
	_ = exec.CommandContext(context.Background(), "sh", "-c", script, n.Name, n.Name[:len(Unique(""))]).Run()
}

// reclaim removes what tests left that were killed: each namespace whose process is gone, and
// what still runs there.
var reclaim = sync.OnceFunc(func() {
	left, _ := filepath.Glob("/run/netns/wt*")
	for _, path := range left {
		name := filepath.Base(path)
		pid, ok := maker(name)
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); ok && errors.Is(err, fs.ErrNotExist) {
			// wireguard-go takes its socket away when it is asked to end.
			const script = `n=0; while ip netns pids $0 | xargs -r kill 2>/dev/null && [ -n "$(ip netns pids $0)" ] &&
				[ $n -lt 100 ]; do n=$((n + 1)); sleep 0.05; done; ip netns pids $0 | xargs -r kill -KILL`
			_ = exec.Command("sh", "-c", script, name).Run()
			Namespace{name}.remove()
		}
	}
})

// Cable joins an interface of a to one of b.
func Cable(t testing.TB, a Namespace, nameA string, b Namespace, nameB string) {
	t.Helper()
	a.IP(t, "link", "add", nameA, "type", "veth", "peer", "name", nameB, "netns", b.Name)
}

// Inside runs do on a thread in the namespace.
func (n Namespace) Inside(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		done <- n.enter(do)
	}()
	return <-done
}

// Enter puts the test's thread into the namespace for good.
func (n Namespace) Enter(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	require.NoError(t, n.enter(func() error { return nil }))
}

func (n Namespace) enter(do func() error) error {
	handle, err := netns.GetFromName(n.Name)
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	if err := netns.Set(handle); err != nil {
		return err
	}
	return do()
}

// Command is a program in the namespace: "ip netns exec" becomes it.
func (n Namespace) Command(args ...string) *exec.Cmd {
	return exec.CommandContext(context.Background(), "ip", append([]string{"netns", "exec", n.Name}, args...)...)
}

// Run runs a program in the namespace and returns what it prints.
func (n Namespace) Run(t testing.TB, args ...string) string {
	t.Helper()
	return output(t, n.Command(args...))
}

// Sh runs a script in the namespace, which ends at its first error.
func (n Namespace) Sh(t testing.TB, format string, args ...any) string {
	t.Helper()
	return n.Run(t, "sh", "-ec", fmt.Sprintf(format, args...))
}

// IP runs ip(8) for the namespace.
func (n Namespace) IP(t testing.TB, args ...string) string {
	t.Helper()
	return Run(t, "ip", append([]string{"-n", n.Name}, args...)...)
}

// Start runs a program in the namespace until the test ends.
func (n Namespace) Start(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := n.Command(args...)
	cmd.Env = append(os.Environ(), "WG_PROCESS_FOREGROUND=1", "LOG_LEVEL=silent", "GOMAXPROCS=1")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { Stop(cmd) })
	return cmd
}

// Stop interrupts a program and waits for its end, which it brings about itself where
// that takes too long.
func Stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		_ = cmd.Process.Kill()
		<-done
	}
}

// Run runs a program and returns what it prints.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	return output(t, exec.CommandContext(context.Background(), name, args...))
}

// Sh runs a script, which ends at its first error.
func Sh(t testing.TB, format string, args ...any) string {
	t.Helper()
	return Run(t, "sh", "-ec", fmt.Sprintf(format, args...))
}

func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", strings.Join(cmd.Args, " "), out)
	return string(out)
}

// Eventually waits until check has no complaint, and returns how long that took. Its
// patience only matters in failure, so it is that of a machine that is slow and busy.
func Eventually(t testing.TB, what string, check func() string) time.Duration {
	t.Helper()
	const within = 2 * time.Minute
	begin := time.Now()
	for {
		complaint := check()
		if complaint == "" {
			return time.Since(begin)
		}
		if time.Since(begin) > within {
			require.FailNow(t, what, "not within %s: %s", within, complaint)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
