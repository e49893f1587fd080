package socket

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// The kernel accepts connections for a process that is stopped.
func TestHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wg1.sock")
	require.NoError(t, hangs(path, time.Minute), "there is none")
	l := must.Get(net.Listen("unix", path))(t)
	assert.ErrorContains(t, hangs(path, 10*time.Millisecond), "its wireguard-go does not answer within 10ms")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("private_key="))
			_ = conn.Close()
		}
	}()
	assert.NoError(t, hangs(path, time.Minute))
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	assert.NoError(t, hangs(path, time.Minute), "its process is gone")
}
