//go:build lab

package proof_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// asksHealth asks a router as a load balancer does, on the router itself.
const asksHealth = `bash -c 'exec 3<>/dev/tcp/127.0.0.1/8179; printf "GET / HTTP/1.1\r\nHost: router\r\n\r\n" >&3; cat <&3'`

// probe returns the first and the last line of what a load balancer is told.
func (l lab) probe(t *testing.T, router string) (status, body string) {
	t.Helper()
	out := l.in(t, router, asksHealth)
	lines := strings.Split(strings.ReplaceAll(out, "\r", ""), "\n")
	return lines[0], lines[len(lines)-1]
}

// balancerAsks cuts azure-1 off from all other sites and leaves it its session with
// azure-2, to which the balancer had better go itself.
func balancerAsks(t *testing.T, l lab) {
	all := `[ "$(birdc show protocols | grep -c Established)" = 6 ]`
	l.waitFor(t, "azure-1", all)
	status, body := l.probe(t, "azure-1")
	assert.Equal(t, "HTTP/1.1 200 OK", status)
	assert.Equal(t, "5 of 5 BGP sessions to other sites are up", body)

	others := `for p in $(birdc show protocols | awk '$2 == "BGP" && $1 != "azure_2" { print $1 }'); do birdc `
	l.in(t, "azure-1", others+`disable $p; done`)
	l.waitFor(t, "azure-1", `[ "$(birdc show protocols | grep -c Established)" = 1 ]`)
	status, body = l.probe(t, "azure-1")
	assert.Equal(t, "HTTP/1.1 503 Service Unavailable", status)
	assert.Equal(t, "0 of 5 BGP sessions to other sites are up", body)
	assert.Contains(t, l.in(t, "azure-1", "birdc show protocols azure_2"), "Established")

	l.in(t, "azure-1", others+`enable $p; done`)
	l.waitFor(t, "azure-1", all)
	assert.NotContains(t, l.in(t, "azure-1", "journalctl -q --no-pager"), "wgmesh-health@",
		"a line for each question would bury the rest")

	const line = `sed -i 's/^\(define wgmesh_drained = "\).*"/\1%s"/' /etc/bird/bird.conf; birdc configure`
	l.in(t, "azure-1", fmt.Sprintf(line, "2026-11-27T15:30:00Z a new kernel"))
	status, body = l.probe(t, "azure-1")
	assert.Equal(t, "HTTP/1.1 503 Service Unavailable", status)
	assert.Equal(t, "drained since 2026-11-27T15:30:00Z a new kernel", body)
	l.in(t, "azure-1", fmt.Sprintf(line, ""))
	status, _ = l.probe(t, "azure-1")
	assert.Equal(t, "HTTP/1.1 200 OK", status)

	l.in(t, "azure-1", "systemctl stop bird")
	status, _ = l.probe(t, "azure-1")
	assert.Equal(t, "HTTP/1.1 503 Service Unavailable", status, "without BIRD")
	l.in(t, "azure-1", "systemctl start bird")
	l.waitFor(t, "azure-1", all)
}
