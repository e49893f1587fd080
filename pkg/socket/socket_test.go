package socket_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/socket"
)

func TestOwners(t *testing.T) {
	name := must.Get(os.ReadFile("/proc/self/comm"))(t)
	self := socket.Owner{Name: string(name[:len(name)-1]), PID: os.Getpid(), Last: os.Args[len(os.Args)-1]}

	listener := must.Get(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer func() { _ = listener.Close() }()
	tcp := listener.Addr().(*net.TCPAddr).Port
	client := must.Get(net.Dial("tcp", listener.Addr().String()))(t)
	defer func() { _ = client.Close() }()
	packets, err := net.ListenPacket("udp", ":0") // of both families, where there are two
	require.NoError(t, err)
	udp := packets.LocalAddr().(*net.UDPAddr).Port

	have := must.Get(socket.Owners(socket.TCP, tcp, client.LocalAddr().(*net.TCPAddr).Port))(t)
	assert.Equal(t, map[int][]socket.Owner{tcp: {self}}, have, "a connection listens nowhere")
	have = must.Get(socket.Owners(socket.UDP, udp))(t)
	assert.Equal(t, map[int][]socket.Owner{udp: {self}}, have)

	require.NoError(t, packets.Close())
	have = must.Get(socket.Owners(socket.UDP, udp))(t)
	assert.Empty(t, have, "nobody has it any more")
}

// A daemon is known by the socket through which it takes commands.
func TestListeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctl")
	have := must.Get(socket.Listeners(path))(t)
	assert.Empty(t, have)
	listener := must.Get(net.Listen("unix", path))(t)
	defer func() { _ = listener.Close() }()
	have = must.Get(socket.Listeners(path))(t)
	require.Len(t, have, 1)
	assert.Equal(t, os.Getpid(), have[0].PID)
}
