//go:build integration

package wg_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/wg"
)

// The networks of a running tunnel become wider, narrower and others, again and again, and
// what they all let through never stops.
func TestLiveAllowedIPs(t *testing.T) {
	a, _ := tunnelled(t, 1)
	count := "20000"
	if a.kind == "kernel" { // the virtual machine of `make kernel` has slow processors
		count = "3000"
	}
	flood := a.Command("ping", "-n", "-q", "-f", "-c", count, "172.31.1.2")
	said := make(chan string, 1)
	go func() {
		out, err := flood.CombinedOutput()
		said <- string(out)
		assert.NoError(t, err)
	}()
	networks := []string{
		"0.0.0.0/0 ::/0", "172.31.1.0/24 10.1.0.0/16", "172.31.0.0/16 10.0.0.0/8 172.31.1.0/28",
		"172.31.1.2/32", "172.31.1.0/24 172.31.0.0/16",
	}
	var last string
	changes := 0
	require.NoError(t, a.opened(func(h *wg.Host) error {
		for ; last == ""; changes++ {
			a.want.Tunnels[0].Peers[0].AllowedIPs = prefixes(networks[changes%len(networks)])
			s, err := wg.Observe(t.Context(), h, a.want)
			if err != nil {
				return err
			}
			d, err := wg.Diff(a.want, s)
			if err != nil {
				return err
			}
			if _, err := wg.Apply(t.Context(), h, d); err != nil {
				return err
			}
			select {
			case last = <-said:
			default:
			}
		}
		return nil
	}))
	lost := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(last)
	require.NotNil(t, lost, last)
	t.Logf("%d changes, %s", changes, lost[0])
	assert.Equal(t, lost[1], lost[2], "packets lost")
	again, _ := a.plan()
	assert.True(t, again.Empty())
}
