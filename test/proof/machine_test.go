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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
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
	out := must.Get(cmd.StdoutPipe())(t)
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

// A session falls when nothing of the neighbour's is heard for the 0.9 s of BFD. A machine
// that runs two labs now and then stands still for that long, and no router can help it. So
// what counts every packet or compares every route allows for a session that fell.

// tries is how often something is done in which a session fell.
const tries = 3

// calm waits on a router, for some seconds, until its sessions are up: those to some routers,
// or all of them.
func calm(routers ...string) string {
	of := strings.ReplaceAll(strings.Join(routers, " "), "-", "_")
	return `for n in 1 2 3 4 5 6 7 8 9 10; do
		birdc show protocols 2>/dev/null | awk -v of=" ` + of + ` " '$2 == "BGP" && $NF != "Established" &&
			(of == "  " || index(of, " " $1 " ")) {exit 1}' && break; sleep 0.5; done
	[ $n = 1 ] || sleep 1
	`
}

// states is the state of all routers, of a moment in which no session has just fallen.
func (l lab) states(t *testing.T) map[string]string {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; {
		began := time.Now()
		have := l.onRouters(t, calm()+state)
		if len(l.flaps(t, began, l.routers...)) == 0 || time.Now().After(end) {
			return have
		}
	}
}

// unchanged wants the state of all routers to be as it was. It looks again while nothing but
// routes of BIRD's are other ones.
func (l lab) unchanged(t *testing.T, want map[string]string) {
	t.Helper()
	have := l.onRouters(t, state)
	for end := time.Now().Add(time.Minute); moving(want, have) && time.Now().Before(end); {
		time.Sleep(time.Second)
		have = l.onRouters(t, state)
	}
	same(t, want, have)
}

// moving reports whether two states differ in routes of BIRD's, and in nothing else.
func moving(want, have map[string]string) bool {
	differ := false
	for r := range want {
		for _, line := range slices.Concat(only(want[r], have[r]), only(have[r], want[r])) {
			if differ = strings.Contains(line, " proto bird "); !differ {
				return false
			}
		}
	}
	return differ
}

// flaps names the sessions between these routers that are down, or up only since a moment.
func (l lab) flaps(t *testing.T, since time.Time, routers ...string) (fell []string) {
	t.Helper()
	// The BIRD of a host that has just booted takes a moment.
	const ask = "n=0; until birdc show protocols; do n=$((n+1)); [ $n -lt 150 ] || exit 1; sleep 0.2; done"
	for _, r := range routers {
		for _, s := range outage.Sessions(l.in(t, r, ask), time.Now()) {
			if slices.Contains(routers, s.Peer) && (!s.Up || s.Since.After(since)) {
				fell = append(fell, r+" to "+s.Peer)
			}
		}
	}
	return fell
}

// onceMore reports whether to do something once more, because sessions fell that it leaves alone.
func onceMore(t *testing.T, try int, fell []string) bool {
	t.Helper()
	if try >= tries || len(fell) == 0 {
		return false
	}
	t.Logf("%s: fell meanwhile, on a machine that is too busy: once more", strings.Join(fell, ", "))
	return true
}
