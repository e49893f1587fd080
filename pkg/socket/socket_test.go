package socket_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/socket"
)

func TestOwners(t *testing.T) {
	name, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	self := socket.Owner{Name: string(name[:len(name)-1]), PID: os.Getpid(), Last: os.Args[len(os.Args)-1]}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	tcp := listener.Addr().(*net.TCPAddr).Port
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	packets, err := net.ListenPacket("udp", ":0") // of both families, where there are two
	require.NoError(t, err)
	udp := packets.LocalAddr().(*net.UDPAddr).Port

	have, err := socket.Owners(socket.TCP, tcp, client.LocalAddr().(*net.TCPAddr).Port)
	require.NoError(t, err)
	assert.Equal(t, map[int][]socket.Owner{tcp: {self}}, have, "a connection listens nowhere")
	have, err = socket.Owners(socket.UDP, udp)
	require.NoError(t, err)
	assert.Equal(t, map[int][]socket.Owner{udp: {self}}, have)

	require.NoError(t, packets.Close())
	have, err = socket.Owners(socket.UDP, udp)
	require.NoError(t, err)
	assert.Empty(t, have, "nobody has it any more")
}

// A daemon is known by the socket through which it takes commands.
func TestListeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ctl")
	have, err := socket.Listeners(path)
	require.NoError(t, err)
	assert.Empty(t, have)
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	have, err = socket.Listeners(path)
	require.NoError(t, err)
	require.Len(t, have, 1)
	assert.Equal(t, os.Getpid(), have[0].PID)
}
