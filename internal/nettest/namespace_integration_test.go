//go:build integration

package nettest_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// What a test leaves that is killed, the next one takes away.
func TestReclaim(t *testing.T) {
	if os.Getenv("NETTEST_DIES") != "" {
		n := nettest.New(t, "d")
		sleep := n.Start(t, "sleep", "300")
		n.Userspace(t, nettest.Unique("w"))
		_, _ = os.Stdout.WriteString("left " + n.Name + "\n")
		require.NoError(t, sleep.Wait())
		return
	}
	dying := exec.Command(os.Args[0], "-test.run", "^TestReclaim$")
	dying.Env = append(os.Environ(), "NETTEST_DIES=yes")
	out := must.Get(dying.StdoutPipe())(t)
	require.NoError(t, dying.Start())
	name, found := "", false
	for in := bufio.NewScanner(out); !found && in.Scan(); {
		name, found = strings.CutPrefix(in.Text(), "left ")
	}
	require.NoError(t, dying.Process.Kill())
	_ = dying.Wait()

	nettest.New(t, "n")
	assert.NoFileExists(t, filepath.Join("/run/netns", name))
	assert.NoFileExists(t, filepath.Join("/var/run/wireguard", name[:7]+"w.sock"))
}
