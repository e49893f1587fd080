//go:build lab

package proof_test

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
)

// holdTime is after what BGP gives a silent neighbour up. Whoever is quicker by half has
// been told by BFD, however slow the machine is.
const holdTime = 30 * time.Second

var sink = make([]uint64, 64)

// slower is how many times as long as a quiet machine this one takes for the same work now, on
// all of its processors at once, or may have taken in the last minute if something waited for a
// processor all the time: 1 or more. What a router promises in seconds is promised for a machine
// that it has for itself.
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
	took := time.Since(began)
	var waited, lately float64 // percent
	text, _ := os.ReadFile("/proc/pressure/cpu")
	_, _ = fmt.Sscanf(string(text), "some avg10=%f avg60=%f", &waited, &lately)
	return max(1+lately/20, float64(took)/float64(quiet))
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

// aRun makes a run of a play that can be killed as a whole, as by a controller that loses its
// power. The process group is not the whole: the forks of newer cores leave it, and would go on.
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

// patience is how long something that comes by itself may take. Whoever is well does not wait.
const patience = 5 * time.Minute

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
	for end := time.Now().Add(patience); ; {
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
	for end := time.Now().Add(patience); moving(want, have) && time.Now().Before(end); {
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

// spills counts what the kernels of these routers have dropped since they booted, because no
// program took it in time. A socket of WireGuard's in user space holds 90 packets: some fall when
// the machine stands still for a third of a second, which BFD does not notice.
func (l lab) spills(t *testing.T, routers ...string) map[string]int {
	t.Helper()
	l.routers = routers
	out := map[string]int{}
	for r, n := range l.onRouters(t,
		`awk '/^Udp: [0-9]/ {n += $6} /^ *wg/ {n += $13} END {print n}' /proc/net/snmp /proc/net/dev`) {
		out[r] = must.Get(strconv.Atoi(strings.TrimSpace(n)))(t)
	}
	return out
}

// spilled names the routers whose kernels have dropped packets since then, where that is why
// packets were lost: not where more were.
func (l lab) spilled(t *testing.T, before map[string]int, streams ...*stream) (fell []string) {
	t.Helper()
	lost := 0
	for _, s := range streams {
		lost += s.lost(t)
	}
	if lost == 0 {
		return nil
	}
	for r, now := range l.spills(t, slices.Collect(maps.Keys(before))...) {
		if n := now - before[r]; n > 0 {
			fell, lost = append(fell, fmt.Sprintf("%d packets at %s", n, r)), lost-n
		}
	}
	if lost > 0 {
		return nil
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

// asksHealth asks a router as a load balancer does, on the router itself.
const asksHealth = `bash -c 'exec 3<>/dev/tcp/127.0.0.1/8179; ` +
	`printf "GET / HTTP/1.1\r\nHost: router\r\n\r\n" >&3; cat <&3'`

// probe returns the first and the last line of what a load balancer is told.
func (l lab) probe(t *testing.T, router string) (status, body string) {
	t.Helper()
	out := l.in(t, router, asksHealth)
	lines := strings.Split(strings.ReplaceAll(out, "\r", ""), "\n")
	return lines[0], lines[len(lines)-1]
}

// told wants that a load balancer is told this, as soon as BIRD has read its configuration and
// has its sessions.
func (l lab) told(t *testing.T, router, status, body string) {
	t.Helper()
	s, b := l.probe(t, router)
	for end := time.Now().Add(patience); (s != status || b != body) && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
		s, b = l.probe(t, router)
	}
	assert.Equal(t, status, s)
	assert.Equal(t, body, b)
}

// balancerAsks cuts azure-1 off from all other sites and leaves it its session with
// azure-2, to which the balancer had better go itself.
func balancerAsks(t *testing.T, l lab) {
	all := `[ "$(birdc show protocols | grep -c Established)" = 6 ]`
	l.waitFor(t, "azure-1", all)
	l.told(t, "azure-1", "HTTP/1.1 200 OK", "5 of 5 BGP sessions to other sites are up")

	others := `for p in $(birdc show protocols | awk '$2 == "BGP" && $1 != "azure_2" { print $1 }'); do birdc `
	l.in(t, "azure-1", others+`disable $p; done`)
	l.waitFor(t, "azure-1", `[ "$(birdc show protocols | grep -c Established)" = 1 ]`)
	l.told(t, "azure-1", "HTTP/1.1 503 Service Unavailable", "0 of 5 BGP sessions to other sites are up")
	assert.Contains(t, l.in(t, "azure-1", "birdc show protocols azure_2"), "Established")

	l.in(t, "azure-1", others+`enable $p; done`)
	l.waitFor(t, "azure-1", all)
	assert.NotContains(t, l.in(t, "azure-1", "journalctl -q --no-pager"), "wgmesh-health@",
		"a line for each question would bury the rest")

	const line = `sed -i 's/^\(define wgmesh_drained = "\).*"/\1%s"/' /etc/bird/bird.conf; birdc configure`
	l.in(t, "azure-1", fmt.Sprintf(line, "2026-11-27T15:30:00Z a new kernel"))
	l.told(t, "azure-1", "HTTP/1.1 503 Service Unavailable", "drained since 2026-11-27T15:30:00Z a new kernel")
	l.in(t, "azure-1", "birdc disable azure_2") // as when azure-2 is gone: it is the last way out
	l.told(t, "azure-1", "HTTP/1.1 200 OK", "drained since 2026-11-27T15:30:00Z a new kernel; "+
		"no other router of the site is in reach; 5 of 5 BGP sessions to other sites are up")
	l.in(t, "azure-1", "birdc enable azure_2")
	l.told(t, "azure-1", "HTTP/1.1 503 Service Unavailable", "drained since 2026-11-27T15:30:00Z a new kernel")
	l.in(t, "azure-1", fmt.Sprintf(line, ""))
	l.told(t, "azure-1", "HTTP/1.1 200 OK", "5 of 5 BGP sessions to other sites are up")

	l.in(t, "azure-1", "systemctl stop bird")
	status, _ := l.probe(t, "azure-1")
	assert.Equal(t, "HTTP/1.1 503 Service Unavailable", status, "without BIRD")
	l.in(t, "azure-1", "systemctl start bird")
	l.waitFor(t, "azure-1", all)
}
