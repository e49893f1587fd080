package ansible_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/ansible"
)

// Check mode and modules that change nothing do not wait for one that does.
func TestWhoTakesTheLock(t *testing.T) {
	tests := map[string]struct {
		in    string
		opts  []ansible.Option
		takes bool
	}{
		"module":          {in: `{"port":2}`, takes: true},
		"check mode":      {in: `{"port":2,"_ansible_check_mode":true}`},
		"unlocked module": {in: `{"port":2}`, opts: []ansible.Option{ansible.Unlocked()}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lock")
			m := ansible.New(func(context.Context, settings) (ansible.Plan, error) {
				_, err := os.Stat(path)
				assert.Equal(t, tt.takes, err == nil)
				return ansible.Plan{}, nil
			}).WithLock(path)
			for _, opt := range tt.opts {
				opt(&m)
			}
			require.Equal(t, 0, m.Run(nil, strings.NewReader(tt.in), &bytes.Buffer{}))
		})
	}
}

// The process of a test cannot be made undumpable without harm to others, so
// the test runs itself again and looks at that process.
func TestHarden(t *testing.T) {
	if os.Getenv("WGMESH_TEST_HARDEN") == "1" {
		require.NoError(t, ansible.Harden())
		var core syscall.Rlimit
		require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_CORE, &core))
		assert.Zero(t, core)
		dumpable, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0)
		require.Zero(t, errno)
		assert.Zero(t, dumpable)
		return
	}
	again := exec.Command(os.Args[0], "-test.run=^TestHarden$", "-test.v")
	again.Env = append(os.Environ(), "WGMESH_TEST_HARDEN=1")
	out, err := again.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "--- PASS: TestHarden")
}
