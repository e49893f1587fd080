//go:build integration

package measure_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/measure"
)

// free returns a TCP port of an address that nobody has.
func free(t *testing.T, address netip.Addr) int {
	t.Helper()
	l := must.Get(net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(address, 0))))(t)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func server(t *testing.T, address string, limit time.Duration) measure.Server {
	t.Helper()
	for _, tool := range []string{"iperf3", "timeout"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("missing: %s", tool)
		}
	}
	s := measure.Server{Address: netip.MustParseAddr(address), Limit: limit}
	s.Port = free(t, s.Address)
	t.Cleanup(func() { assert.NoError(t, s.Stop(context.Background())) })
	return s
}

// A server that nobody comes to, and that nobody ends, ends by itself: so it does
// when the run that started it dies.
func TestServerEndsByItself(t *testing.T) {
	s := server(t, "127.0.0.1", 5*time.Second)
	require.NoError(t, s.Serve(t.Context()))
	assert.True(t, measure.Listens(s.Address, s.Port))
	assert.Eventually(t, func() bool { return !measure.Listens(s.Address, s.Port) }, time.Minute, 100*time.Millisecond)
}

func TestServerServesOneTestAsNobody(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		s := server(t, address, time.Minute)
		require.NoError(t, s.Serve(t.Context()))
		owner := must.Get(exec.Command("sh", "-c",
			fmt.Sprintf("ps -eo user,args | grep '[i]perf3 --server --one-off --bind %s --port %d'",
				address, s.Port)).Output())(t)
		assert.NotContains(t, string(owner), "root ", "somebody listens to the world as root")
		assert.Equal(t, 2, strings.Count(string(owner), "nobody "), "timeout and iperf3")
		must.Run(t, exec.Command("iperf3", "-c", address, "-p", fmt.Sprint(s.Port), "-t", "1"))
		assert.Eventually(t, func() bool {
			return !measure.Listens(s.Address, s.Port)
		}, 2*time.Minute, 50*time.Millisecond, "a second test could come")
	}
}

func TestServerIsEndedAndReplaced(t *testing.T) {
	s := server(t, "127.0.0.1", time.Minute)
	require.NoError(t, s.Serve(t.Context()))
	s.Limit = 30 * time.Second // another run measures for another time
	require.NoError(t, s.Serve(t.Context()), "what an earlier run left is in the way")
	require.NoError(t, s.Stop(t.Context()))
	assert.False(t, measure.Listens(s.Address, s.Port))
	require.NoError(t, s.Stop(t.Context()), "nothing is left to end")
}

func TestServerThatCannotListen(t *testing.T) {
	s := server(t, "127.0.0.1", time.Minute)
	l := must.Get(net.Listen("tcp", netip.AddrPortFrom(s.Address, uint16(s.Port)).String()))(t)
	require.ErrorContains(t, s.Serve(t.Context()), "something else listens on 127.0.0.1:")
	require.NoError(t, l.Close())

	s.Address = netip.MustParseAddr("192.0.2.77")
	require.ErrorContains(t, s.Serve(t.Context()), "iperf3 does not listen on 192.0.2.77:")
}
