//go:build e2e

package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// replace destroys aws-1 and boots a new machine from the image, with the same
// user-data. It has keys of its own, and nobody touches another router.
func replace(t *testing.T, n *network) {
	m := n.router("aws-1")
	key := m.in(t, "wg pubkey < /etc/wireguard/wgmesh.key")
	m.rm(t)
	n.router("azure-1").waitFor(t, `[ "$(birdc show protocols | grep -c Established)" = 2 ]`, time.Minute)
	before := n.sessions(t, "aws-1")
	assert.Len(t, before, 6)

	m.plug(t, "second")
	m.nice = true
	began := m.start(t)
	m.nice = false // when it starts the next time
	line := m.says(t, inMesh, 15*time.Minute)
	t.Logf("%3.0f s after power on: %s", time.Since(began).Seconds(), line)
	// Four logins at once may take both processors for longer than BFD waits.
	m.renice(t, 0)
	n.prove(t)
	assert.NotEqual(t, key, m.in(t, "wg pubkey < /etc/wireguard/wgmesh.key"), "the keys are new")
	n.undisturbed(t, before)
}
