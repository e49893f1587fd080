package join

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The lines are those of a machine whose user-data had "write_files:\n  - path:
// /etc/wgmesh/join.yml\n   content: [".
func TestUserDataIsNoYAML(t *testing.T) {
	log := filepath.Join(t.TempDir(), "cloud-init.log")
	assert.EqualError(t, missing("/j", log),
		"/j: no such file; user-data (cloud-init, write_files) or the image brings it: see `grep WARNING "+log+"`")
	require.NoError(t,
		os.WriteFile(log,
			[]byte(`2026-11-24 03:05:25,083 - util.py[WARNING]: Failed loading yaml blob. `+
				`Invalid format at line 3 column 3: "while parsing a block collection
  in "<unicode string>", line 3, column 3: secret
2026-11-24 03:05:25,224 - cloud_config.py[WARNING]: Failed at merging in cloud config part from part-001: `+
				`empty cloud config
`), 0o600))
	assert.EqualError(t, missing("/j", log),
		"/j: no such file; the user-data that should bring it is not YAML: invalid format at line 3 column 3, says "+
			log)
}
