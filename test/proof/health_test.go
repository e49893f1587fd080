//go:build lab

package proof_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

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
	for end := time.Now().Add(time.Minute); (s != status || b != body) && time.Now().Before(end); {
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
