//go:build lab

package proof_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// holdTime is after what BGP gives a silent neighbour up. Whoever is quicker by half has
// been told by BFD, however slow the machine is.
const holdTime = 30 * time.Second

var sink = make([]uint64, 64)

// slower is how many times as long as a quiet machine this one takes for the same work
// now, on all of its processors at once: 1 or more. What a router promises in seconds is
// promised for a machine that it has for itself.
func slower() float64 {
	const work, quiet = 100_000_000, 250 * time.Millisecond
	began := time.Now()
	var all sync.WaitGroup
	for n := range min(runtime.NumCPU(), len(sink)) {
		all.Go(func() {
			x := uint64(n + 1)
			for range work {
				x ^= x << 13
				x ^= x >> 7
				x ^= x << 17
			}
			sink[n] = x
		})
	}
	all.Wait()
	return max(1, float64(time.Since(began))/float64(quiet))
}

// atFirst is how slow it was when the first lab came up: what made the machine slow may be over.
var atFirst = sync.OnceValue(slower)

// within wants that something took no longer than a quiet machine may take for it.
func within(t *testing.T, took, limit time.Duration, what string) {
	t.Helper()
	if took >= limit {
		by := max(atFirst(), slower())
		t.Logf("%s took %v, and this machine is %.1f times as slow as a quiet one", what, took, by)
		require.Less(t, took, time.Duration(by*float64(limit)), what)
	}
}

// aRun makes a run of a play that can be killed as a whole, as by a controller
// that loses its power. The process group is not the whole: the forks of newer cores
// leave it, and would go on.
func (l lab) aRun(t *testing.T, play string, args ...string) (cmd *exec.Cmd, kill func()) {
	t.Helper()
	mark := fmt.Sprintf("WGMESH_PROOF_RUN=%s %d", l.name, time.Now().UnixNano())
	cmd = exec.Command("ansible-playbook", append([]string{"-i", l.inventory(), "wgmesh.router." + play}, args...)...)
	cmd.Dir = l.root
	cmd.Env = append(os.Environ(), mark)
	return cmd, func() {
		t.Helper()
		end := time.Now().Add(2 * time.Minute)
		for pids := marked(mark); len(pids) > 0; pids = marked(mark) {
			require.True(t, time.Now().Before(end), "processes %v of a run cannot be killed", pids)
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// killedIn runs a play, and kills it when a task begins.
func (l lab) killedIn(t *testing.T, task, play string, args ...string) time.Time {
	t.Helper()
	cmd, kill := l.aRun(t, play, args...)
	defer time.AfterFunc(20*time.Minute, func() { _ = cmd.Process.Kill() }).Stop()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	reached := false
	for in := bufio.NewScanner(out); !reached && in.Scan(); {
		reached = strings.Contains(in.Text(), task)
	}
	kill()
	died := time.Now()
	_ = cmd.Wait()
	require.True(t, reached, "the run did not get to %q", task)
	return died
}

// marked lists the processes with a variable in their environment.
func marked(variable string) (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		text, _ := os.ReadFile(path) // it may have ended
		for v := range bytes.SplitSeq(text, []byte{0}) {
			if string(v) == variable {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
