package program_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/program"
)

func TestRun(t *testing.T) {
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("LOG_LEVEL", "verbose")
	const script = "cat; echo $LC_ALL $LOG_LEVEL; echo warned >&2"
	said := must.Get(program.Call{Name: "sh", Args: []string{"-c", script}, Stdin: "in "}.Run(t.Context()))(t)
	assert.Equal(t, program.Said{Out: "in C\n", Err: "warned\n"}, said)
}

func TestFailureIsOneLine(t *testing.T) {
	for script, want := range map[string]string{
		"exit 3":                             "sh -c exit 3: exit status 3",
		"echo; echo no bus >&2; exit 1":      "no bus (exit status 1)",
		"echo on stdout; exit 1":             "on stdout (exit status 1)",
		`printf 'a\033[2Jb\nc' >&2; exit 1`:  "a [2Jb; c (exit status 1)",
		"echo out; kill -9 $$":               "out (signal: killed)",
		"seq 1000 | tr -d '\\n' >&2; exit 1": "... (exit status 1)",
	} {
		_, err := program.Run(t.Context(), "sh", "-c", script)
		require.Error(t, err, script)
		assert.True(t, strings.HasSuffix(err.Error(), want), "%s: %s", script, err)
		assert.Less(t, len(err.Error()), 400)
		assert.NotContains(t, err.Error(), "\x1b")
	}
	long := strings.Repeat("word ", 100)
	assert.Less(t, len(must.Err(program.Run(t.Context(), "false", long, "a\nb")).Error()), 200)
}

func TestTimeIsLimited(t *testing.T) {
	for name, script := range map[string]string{
		"ends when it is asked": "sleep 100 & trap 'kill $!' TERM; wait; echo said >&2",
		"has to be killed":      "trap '' TERM; echo said >&2; while :; do sleep 0.1; done",
	} {
		_, err := program.Call{Name: "sh", Args: []string{"-c", script}, Limit: 300 * time.Millisecond}.Run(t.Context())
		assert.ErrorContains(t, err, ": said (it did not end within 300ms)", name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, must.Err(program.Run(ctx, "sleep", "100")), context.Canceled)
}

// A daemon that the program has started may keep its pipe.
func TestEndedWellBesideAChild(t *testing.T) {
	out := must.Get(program.Run(t.Context(), "sh", "-c", "echo done; sleep 4 &"))(t)
	assert.Equal(t, "done\n", out)
}

func TestOutputIsBounded(t *testing.T) {
	_, err := program.Run(t.Context(), "sh", "-c", "cat /dev/zero")
	assert.ErrorIs(t, err, program.ErrMuch)
	assert.Less(t, len(err.Error()), 400)
}

func TestMissingNamesItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := program.Run(t.Context(), "nft", "list", "tables")
	assert.EqualError(t, err, "nft is not installed: install package nftables")
	assert.ErrorIs(t, err, exec.ErrNotFound)
	assert.EqualError(t, must.Err(program.Find("birdc")), "birdc is not installed")
}

func TestWords(t *testing.T) {
	assert.Equal(t, "Unable to modify interface: No such file; x", program.Words(
		"[#] ip link add wg1 type wireguard\n│ box │\nUnable to modify interface: No such file\n\nx\n"))
}
