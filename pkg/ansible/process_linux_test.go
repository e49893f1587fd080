package ansible_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
)

// Check mode and modules that change nothing do not wait for one that does.
func TestWhoTakesTheLock(t *testing.T) {
	for name, tt := range map[string]struct {
		in    string
		opts  []ansible.Option
		takes bool
	}{
		"module":          {in: `{"port":2}`, takes: true},
		"check mode":      {in: `{"port":2,"_ansible_check_mode":true}`},
		"unlocked module": {in: `{"port":2}`, opts: []ansible.Option{ansible.Unlocked()}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			m := ansible.New(func(context.Context, settings) (ansible.Plan, error) {
				_, err := os.Stat(path)
				assert.Equal(t, tt.takes, err == nil)
				return ansible.Plan{}, nil
			}).WithLock(path)
			for _, opt := range tt.opts {
				opt(&m)
			}
			require.Equal(t, 0, m.Run(nil, strings.NewReader(tt.in), &bytes.Buffer{}))
		})
	}
}

// The process of a test cannot be made undumpable without harm to others, so
// the test runs itself again and looks at that process.
func TestHarden(t *testing.T) {
	if os.Getenv("WGMESH_TEST_HARDEN") == "1" {
		require.NoError(t, ansible.Harden())
		var core syscall.Rlimit
		require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_CORE, &core))
		assert.Zero(t, core)
		dumpable, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0)
		require.Zero(t, errno)
		assert.Zero(t, dumpable)
		return
	}
	again := exec.Command(os.Args[0], "-test.run=^TestHarden$", "-test.v")
	again.Env = append(os.Environ(), "WGMESH_TEST_HARDEN=1")
	out := must.Run(t, again)
	assert.Contains(t, out, "--- PASS: TestHarden")
}

func TestByRoot(t *testing.T) {
	require.Zero(t, os.Geteuid(), "this test needs root, to be somebody else")
	require.NoError(t, ansible.ByRoot())
	// The thread alone, and for this moment (setresuid(2)): Go would do it to all of the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const keep, nobody = ^uintptr(0), 65534
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, nobody, keep)
	err := ansible.ByRoot()
	_, _, back := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep)
	require.Zero(t, errno)
	require.Zero(t, back)
	require.EqualError(t, err, "this runs as user 65534, and a router is set up by root: set ansible_become to true")
}

const never = time.Hour // for a wait that nothing shall end

func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wgmesh", "lock")
	unlock := must.Get(ansible.Lock(t.Context(), path, never))(t)

	second := make(chan error)
	go func() {
		release, err := ansible.Lock(context.Background(), path, never)
		if err == nil {
			release()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("two hold the lock (error: %v)", err)
	case <-time.After(150 * time.Millisecond):
	}
	unlock()
	require.NoError(t, <-second)

	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		assert.Equal(t, want, must.Get(os.Stat(name))(t).Mode().Perm(), name)
	}
}

// A signal ends the wait. systemd and Ansible send one before they kill.
func TestLockWaitEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock := must.Get(ansible.Lock(t.Context(), path, never))(t)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	require.ErrorIs(t, must.Err(ansible.Lock(ctx, path, never)), context.Canceled)
}

// The wait has a bound, and its end names who holds the lock: also when that
// process has it from another one, which ended.
func TestLockNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for name, args := range map[string][]string{
		"took it":  {"flock", path, "sleep", "1000"},
		"has it":   {"sh", "-c", `exec 9>"$0"; flock 9; exec sleep 1000`, path},
		"is alone": {"sh", "-c", `exec 9>"$0"; (flock 9); exec sleep 1000`, path},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			require.NoError(t, cmd.Start())
			t.Cleanup(func() {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
				_ = cmd.Wait()
			})
			require.Eventually(t, func() bool {
				unlock, err := ansible.Lock(t.Context(), path, 0)
				if err == nil {
					unlock()
				}
				return err != nil
			}, 2*time.Minute, 20*time.Millisecond)
			require.EventuallyWithT(t, func(c *assert.CollectT) { // the shell becomes sleep
				_, err := ansible.Lock(t.Context(), path, 100*time.Millisecond)
				assert.ErrorContains(c, err, "lock: held by pid ")
				assert.ErrorContains(c, err, "(sleep)")
			}, 2*time.Minute, 20*time.Millisecond)
		})
	}
}

// What should not be there is refused at once, and in words.
func TestLockRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(t *testing.T, dir string)
		err  string
	}{
		"a FIFO": {func(t *testing.T, dir string) {
			require.NoError(t, syscall.Mkfifo(dir+"/lock", 0o666))
		}, "it is a FIFO, expected a file of root's"},
		"a link": {func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("/etc/hostname", dir+"/lock"))
		}, "it is a link, expected a file"},
		"a link to nowhere": {func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("nowhere", dir+"/lock"))
		}, "it is a link, expected a file"},
		"a folder": {func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir+"/lock", 0o700))
		}, "it is a folder, expected a file"},
		"a socket": {func(t *testing.T, dir string) {
			l := must.Get(net.Listen("unix", dir+"/lock"))(t)
			t.Cleanup(func() { _ = l.Close() })
		}, "it is a socket, expected a file"},
		"a device": {func(t *testing.T, dir string) {
			asRoot(t)
			require.NoError(t, syscall.Mknod(dir+"/lock", syscall.S_IFCHR|0o666, 1<<8|3))
		}, "it is a device, expected a file"},
		"somebody else's file": {func(t *testing.T, dir string) {
			asRoot(t)
			require.NoError(t, os.WriteFile(dir+"/lock", nil, 0o600))
			require.NoError(t, os.Chown(dir+"/lock", 65534, 65534))
		}, "the file belongs to user 65534, expected root"},
		"somebody else's folder": {func(t *testing.T, dir string) {
			asRoot(t)
			require.NoError(t, os.Chown(dir, 65534, 65534))
		}, "belongs to user 65534 with mode 0700, expected one of root's"},
		"a folder for all": {func(t *testing.T, dir string) {
			require.NoError(t, os.Chmod(dir, 0o777))
		}, "with mode 0777, expected one of root's"},
		"a FIFO for a folder": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(dir))
			require.NoError(t, syscall.Mkfifo(dir, 0o666))
		}, "is a FIFO, expected a folder"},
		"a link for a folder": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(dir))
			require.NoError(t, os.Symlink("/tmp", dir))
		}, "is a link, expected a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "wgmesh")
			require.NoError(t, os.Mkdir(dir, 0o700))
			tt.make(t, dir)
			done := make(chan error, 1)
			go func() {
				_, err := ansible.Lock(context.Background(), filepath.Join(dir, "lock"), never)
				done <- err
			}()
			select {
			case err := <-done:
				require.ErrorContains(t, err, tt.err)
			case <-time.After(10 * time.Second):
				t.Fatal("it waits instead of refusing")
			}
		})
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes devices and gives files away")
	}
}

func TestLockWait(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 5 * time.Second, "45": 45 * time.Second, "0": 0, "-1": 5 * time.Second, "x": 5 * time.Second,
	} {
		t.Setenv("WGMESH_LOCK_WAIT", text)
		assert.Equal(t, want, ansible.LockWait(), "%q", text)
	}
}
