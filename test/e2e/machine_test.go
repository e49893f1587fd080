//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// A machine is a virtual machine and its user-data. test/image/vm runs it.
type machine struct {
	name  string // of its folder
	n     int    // its number on this host
	root  string // of the repository
	work  string
	image string
	files seed
	nice  bool   // it leaves the processor to the others
	clock string // what its clock says at power on; "" for the time
}

// A seed is what a cloud gives a machine.
type seed struct{ userData, network string }

func (m *machine) dir() string     { return filepath.Join(m.work, m.name) }
func (m *machine) key() string     { return filepath.Join(m.work, "key") }
func (m *machine) control() string { return filepath.Join(m.work, "ssh-"+m.name) }

// vm runs a command of test/image/vm.
func (m *machine) vm(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(m.root, "test/image/vm"), args...)
	cmd.Dir = m.root
	cmd.Env = append(os.Environ(), "PORTS=2300", "LAN=239.255.42.43:4343", "MEMORY=640",
		"NETWORK=closed", "CLOCK="+m.clock)
	must.Run(t, cmd)
}

// plug makes the disk with the machine's user-data. instance is what a cloud gives
// every machine anew.
func (m *machine) plug(t *testing.T, instance string) {
	t.Helper()
	key := must.Get(os.ReadFile(m.key() + ".pub"))(t)
	dir := filepath.Join(m.work, "seed-"+m.name)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	for name, text := range map[string]string{
		// Who may log in stands here, so that the test comes in when user-data is broken.
		"meta-data": fmt.Sprintf("instance-id: %s\nlocal-hostname: %s\npublic-keys: [%s]\n",
			instance, m.name, strings.TrimSpace(string(key))),
		"user-data":      m.files.userData,
		"network-config": m.files.network,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	m.vm(t, "seed", filepath.Join(m.work, "seed-"+m.name+".iso"), dir)
}

// start turns the power on. The console of an earlier start is kept beside it.
func (m *machine) start(t *testing.T) time.Time {
	t.Helper()
	_ = os.Rename(filepath.Join(m.dir(), "console"), filepath.Join(m.dir(), "console.before"))
	began := time.Now()
	m.vm(t, "start", m.dir(), m.image, filepath.Join(m.work, "seed-"+m.name+".iso"), fmt.Sprint(m.n))
	if m.nice {
		m.renice(t, 19)
	}
	return began
}

// renice says how nice a running machine is to the others, 0 to 19. Linux has that
// for each thread, and compares it inside of a session only, unless the session has
// one too (sched(7), autogroup).
func (m *machine) renice(t *testing.T, to int) {
	t.Helper()
	pid := must.Get(os.ReadFile(filepath.Join(m.dir(), "pid")))(t)
	process := filepath.Join("/proc", strings.TrimSpace(string(pid)))
	err := os.WriteFile(filepath.Join(process, "autogroup"), fmt.Append(nil, to), 0)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	threads := must.Get(os.ReadDir(filepath.Join(process, "task")))(t)
	for _, thread := range threads {
		tid := must.Get(strconv.Atoi(thread.Name()))(t)
		// it may end meanwhile
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, tid, to); !errors.Is(err, syscall.ESRCH) {
			require.NoError(t, err)
		}
	}
}

// cut takes the power away.
func (m *machine) cut(t *testing.T) { t.Helper(); m.vm(t, "stop", m.dir()) }

// off shuts the machine down in order.
func (m *machine) off(t *testing.T) {
	t.Helper()
	_, _ = m.try("systemctl poweroff", time.Minute)
	pid, err := os.ReadFile(filepath.Join(m.dir(), "pid"))
	if err == nil {
		require.Eventually(t, func() bool {
			_, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)))
			return err != nil
		}, 3*time.Minute, 200*time.Millisecond, "%s does not power off", m.name)
	}
	m.cut(t)
}

// rm removes the machine and its disk.
func (m *machine) rm(t *testing.T) { t.Helper(); m.vm(t, "rm", m.dir()) }

// console is what the machine said on its console since power on, without the
// BIOS's escape codes.
func (m *machine) console() string {
	text, _ := os.ReadFile(filepath.Join(m.dir(), "console"))
	return escapes.ReplaceAllString(string(text), "")
}

var escapes = regexp.MustCompile(`\x1b(\[[0-9;?=]*[a-zA-Z]|c)|\r`)

// says waits until a line on the console matches, and returns it.
func (m *machine) says(t *testing.T, pattern string, limit time.Duration) string {
	t.Helper()
	re := regexp.MustCompile(`(?m)^.*(?:` + pattern + `).*$`)
	line := ""
	require.Eventually(t, func() bool {
		line = strings.TrimSpace(re.FindString(m.console()))
		return line != ""
	}, limit, 200*time.Millisecond, "%s does not say %q; its console:\n%s", m.name, pattern, lazy(func() string {
		return tail(m.console(), 25)
	}))
	// systemd and the kernel put their own words before it.
	if _, said, found := strings.Cut(line, "]: "); found {
		return said
	}
	return line
}

// lazy is a text that is made when it is printed.
type lazy func() string

func (l lazy) String() string { return l() }

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// in runs a script as root.
func (m *machine) in(t *testing.T, script string) string {
	t.Helper()
	out, err := m.try(script, 10*time.Minute)
	require.NoError(t, err, "%s: %s: %s", m.name, script, out)
	return strings.TrimSpace(out)
}

// try is in for what may fail.
func (m *machine) try(script string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := m.ssh(ctx, "sudo", "bash", "-s")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) ssh(ctx context.Context, command ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ssh", append([]string{
		"-F", "/dev/null", "-i", m.key(), "-p", fmt.Sprint(2300 + m.n), "-o", "BatchMode=yes", "-o",
		"IdentitiesOnly=yes",
		"-o", "ConnectTimeout=30", "-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=no", "-o",
		"UserKnownHostsFile=/dev/null",
		"-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-o", "ControlPath=" + m.control(), "debian@127.0.0.1",
	}, command...)...)
}

// reachable waits until the test can log in.
func (m *machine) reachable(t *testing.T, limit time.Duration) {
	t.Helper()
	end := time.Now().Add(limit)
	for {
		if _, err := m.try("true", 40*time.Second); err == nil {
			return
		}
		require.True(t, time.Now().Before(end), "%s does not answer; its console:\n%s", m.name, tail(m.console(), 25))
		time.Sleep(time.Second)
	}
}

// waitFor waits in the machine, so that nothing is asked again and again from here.
func (m *machine) waitFor(t *testing.T, condition string, limit time.Duration) {
	t.Helper()
	script := fmt.Sprintf("end=$((SECONDS + %d)); until { %s; }; do [ $SECONDS -lt $end ] || exit 1; sleep 0.5; done",
		int(limit.Seconds()), condition)
	out, err := m.try(script, limit+time.Minute)
	if err != nil {
		now, _ := m.try(
			"birdc show protocols; birdc show bfd sessions; wg show all latest-handshakes; "+
				"systemctl --failed --no-legend", time.Minute)
		require.NoError(t, err, "%s: not within %v: %s\n%s\n%s", m.name, limit, condition, out, now)
	}
}
