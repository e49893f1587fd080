//go:build integration

package keypair_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/keypair"
)

// wg(8) agrees about public keys, and its keys are taken over.
func TestWGAgrees(t *testing.T) {
	wg, err := exec.LookPath("wg")
	if err != nil {
		t.Fatal("wg is missing: install wireguard-tools")
	}
	for range 20 {
		r := newRig(t)
		_, pub, _ := r.converge()
		assert.Equal(t, pubkey(t, wg, r.want.PrivateKey), pub.PublicKey)

		key := must.Get(exec.Command(wg, "genkey").Output())(t)
		require.NoError(t, os.WriteFile(r.want.PrivateKey, key, 0o600))
		_, taken, done := r.converge()
		assert.Empty(t, done)
		assert.Equal(t, pubkey(t, wg, r.want.PrivateKey), taken.PublicKey)
	}
}

// What our parser refuses, wg refuses, and the other way round.
func TestWGAgreesAboutBadKeys(t *testing.T) {
	good := must.Get(exec.Command("wg", "genkey").Output())(t, "install wireguard-tools")
	key := strings.TrimSpace(string(good))
	for _, text := range []string{
		key, key + "\n", key[:43], key[:43] + "A", key[:42] + "!=", key + "A",
		strings.Repeat("/", 43) + "=", key[:42] + "B=",
	} {
		r := newRig(t)
		r.want.Regenerate = keypair.Never
		require.NoError(t, os.Mkdir(r.dir, 0o700))
		require.NoError(t, os.WriteFile(r.want.PrivateKey, []byte(text), 0o600))
		cmd := exec.Command("wg", "pubkey")
		cmd.Stdin = strings.NewReader(text)
		out, wgErr := cmd.Output()
		delta, err := r.plan()
		require.Equal(t, wgErr == nil, err == nil, "wg: %v", wgErr)
		if err == nil {
			assert.Equal(t, strings.TrimSpace(string(out)), delta.Public().PublicKey)
		}
	}
}

// A file of another user is taken back, and a new key does not go to that user.
func TestWrongOwnerIsMended(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("root is missing: only root can give a file away")
	}
	r := newRig(t)
	r.converge()
	require.NoError(t, os.Chown(r.want.PrivateKey, 4321, 4321))
	r.want.Regenerate = keypair.Always
	_, _, done := r.converge()
	assert.Contains(t, done[0], "owner 4321, expected 0")
	r.want.Regenerate = keypair.Partly
	assert.Empty(t, must.Get(r.plan())(t).Steps, "the new key did not keep the old owner")
}

func pubkey(t *testing.T, wg, path string) string {
	t.Helper()
	f := must.Get(os.Open(path))(t)
	defer f.Close()
	cmd := exec.Command(wg, "pubkey")
	cmd.Stdin = f
	return strings.TrimSpace(string(must.Get(cmd.Output())(t)))
}
