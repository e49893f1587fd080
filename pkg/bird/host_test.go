package bird_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/bird"
)

func TestConfigPath(t *testing.T) {
	for name, tt := range map[string]struct {
		files []string
		want  string
	}{
		"Debian":               {files: []string{"etc/bird/bird.conf"}, want: "etc/bird/bird.conf"},
		"EL":                   {files: []string{"etc/bird.conf"}, want: "etc/bird.conf"},
		"both":                 {files: []string{"etc/bird.conf", "etc/bird/bird.conf"}, want: "etc/bird/bird.conf"},
		"nothing is there yet": {want: "etc/bird/bird.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir() + "/"
			for _, f := range tt.files {
				require.NoError(t, os.MkdirAll(filepath.Dir(root+f), 0o755))
				require.NoError(t, os.WriteFile(root+f, nil, 0o600))
			}
			assert.Equal(t, root+tt.want, bird.ConfigPath(root))
		})
	}
}
