//go:build lab

package proof_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wgmesh/router/internal/outage"
)

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
