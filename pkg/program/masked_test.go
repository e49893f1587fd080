package program

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMasked(t *testing.T) {
	dir := t.TempDir()
	folders := unitFolders
	t.Cleanup(func() { unitFolders = folders })
	unitFolders = []string{dir + "/none", dir}
	require.NoError(t, os.Symlink("/dev/null", dir+"/bird.service"))
	require.NoError(t, os.Symlink("/lib/systemd/system/ssh.service", dir+"/ssh.service"))
	assert.Equal(t, dir+"/bird.service", Masked("bird.service"))
	assert.Empty(t, Masked("ssh.service"))
}
