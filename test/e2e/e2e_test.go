//go:build e2e

package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inMesh is what a router says when it has joined.
const inMesh = `wgmesh join: \S+ is in the mesh: 3 of 3 peers`

// TestE2E builds on its steps, so the first that fails ends it. STEP=3 goes on with
// the third, on the machines that a run with KEEP=yes left.
func TestE2E(t *testing.T) {
	first := 1
	if step := os.Getenv("STEP"); step != "" {
		var err error
		first, err = strconv.Atoi(step)
		require.NoError(t, err, "STEP")
	}
	n := newNetwork(t, first)
	for i, step := range []struct {
		name string
		run  func(*testing.T, *network)
	}{
		{"four machines with nothing but user-data become a mesh on the kernel's WireGuard", bootAll},
		{"a second boot changes nothing, and needs no discovery", bootBlind},
		{"a clock that is an hour behind does not matter", bootInThePast},
		{"power cut in the middle of an apply leaves files that are old or new", cutPower},
		{"a router is replaced by a new machine, and the others do not notice", replace},
		{"bad input ends with one clear line and does no harm", badInput},
	} {
		if i+1 < first {
			continue
		}
		began := time.Now()
		if !t.Run(step.name, func(t *testing.T) { step.run(t, n) }) {
			t.FailNow()
		}
		t.Logf("%s: %.0f s", step.name, time.Since(began).Seconds())
	}
}

func bootAll(t *testing.T, n *network) {
	order := rand.Perm(len(n.routers))
	began := time.Now()
	for _, i := range order {
		n.routers[i].plug(t, "first")
		n.routers[i].start(t)
	}
	took := map[string]time.Duration{}
	var mu sync.Mutex
	n.each(func(m *machine) {
		line := m.says(t, inMesh, 20*time.Minute)
		mu.Lock()
		defer mu.Unlock()
		took[m.name] = time.Since(began)
		t.Logf("%3.0f s after power on: %s", took[m.name].Seconds(), line)
	})
	n.prove(t)
	m := n.router("azure-1")
	t.Logf("proved: Linux %s, 3 kernel tunnels, 3 BGP and 3 BFD sessions on each, and every site reaches every other",
		m.in(t, "uname -r"))
	keys := map[string]string{}
	n.each(func(m *machine) {
		out := m.in(t, "sha256sum /etc/wireguard/wgmesh.key; cat /etc/machine-id")
		mu.Lock()
		defer mu.Unlock()
		assert.NotContains(t, keys, out)
		keys[out] = m.name
	})
	assert.Len(t, keys, len(n.routers), "keys and machine ids are each machine's own")
}
