package status_test

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
)

// What worked is known by its tunnel too: the change may give it another name.
func TestBefore(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bird.ctl")
	l := must.Get(net.Listen("unix", socket))(t)
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, "0001 BIRD 2.0.12 ready.\n")
				for in := bufio.NewScanner(conn); in.Scan(); {
					_, _ = io.WriteString(conn, map[string]string{
						"show protocols all": "1002-azure_1 BGP --- up 11:21:44.295 Established\n" +
							"1006-  BGP state: Established\n" +
							"1002-aws_1 BGP --- start 11:21:44.295 Active\n1006-  BGP state: Active\n",
					}[in.Text()]+"0000 \n")
				}
			}()
		}
	}()
	address := netip.MustParseAddr("100.64.0.1")
	before := must.Get(status.ObserveBefore(t.Context(), status.Request{Socket: socket, Tunnels: []plan.StatusTunnel{
		{Name: "no-wg20", Peer: "azure-1", Neighbor: "azure_1", Address: address},
		{Name: "no-wg21", Peer: "aws-1", Neighbor: "aws_1", Address: address.Next()},
	}}))(t)
	assert.Equal(t, status.Before{
		Worked: []string{"azure-1"}, Silent: []string{"azure-1"}, Routed: []netip.Prefix{},
		Over: []status.End{{Peer: "azure-1", Name: "no-wg20", Address: address}},
	}, before)
}
