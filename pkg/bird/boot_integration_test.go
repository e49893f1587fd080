//go:build integration

package bird_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// boot runs boot.sh on a bird.conf with a copy, and returns what it said. It
// must never keep BIRD from starting.
func boot(t *testing.T, conf, good []byte) (path, said string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bird.conf")
	if conf != nil {
		require.NoError(t, os.WriteFile(path, conf, 0o640))
	}
	if good != nil {
		require.NoError(t, os.WriteFile(path+".good", good, 0o640))
	}
	out := must.Run(t, exec.CommandContext(t.Context(), "sh", "boot.sh", path))
	return path, out
}

// Wherever a power cut broke our text off, the last good one is put back and
// the broken one is kept.
func TestBootPutsBack(t *testing.T) {
	good := number(t, 1)
	cuts := map[string][]byte{
		"missing": nil, "zeros": make([]byte, len(good)), "last line lost": good[:len(good)-len("# end\n")],
	}
	for _, percent := range []int{0, 1, 10, 50, 90, 99} {
		cuts[fmt.Sprintf("%d percent", percent)] = good[:len(good)*percent/100]
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			path, said := boot(t, cut, good)
			assert.True(t, bytes.Equal(good, must.Get(os.ReadFile(path))(t)), "not put back: %s", said)
			assert.Equal(t, 1, strings.Count(said, "\n"), said)
			assert.Contains(t, said, path+" cannot be used (")
			if cut != nil {
				kept := must.Get(os.ReadFile(path + ".damaged"))(t)
				assert.True(t, bytes.Equal(cut, kept), "the damaged file was changed")
				assert.Contains(t, said, path+".damaged")
			}
		})
	}
}

func TestBootLeavesAlone(t *testing.T) {
	good := number(t, 1)
	ours := append([]byte("# by hand\n"), good...)
	own := []byte("router id 9.9.9.9;\nprotocol device {}\n")
	tests := map[string]struct {
		conf, good []byte
		says       string
	}{
		"whole":                {good, number(t, 2), ""},
		"edited by hand":       {ours, good, ""},
		"written by hand":      {own, good, ""},
		"never ours":           {[]byte("nonsense {\n"), nil, ""},
		"the copy is damaged":  {good, good[:40], ""},
		"both are damaged":     {good[:40], good[:50], "neither can"},
		"the copy breaks off":  {good[:40], good[:len(good)-6], "neither can"},
		"refused, by hand too": {[]byte("nonsense {\n"), []byte("nonsense"), "run the mesh play"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path, said := boot(t, tt.conf, tt.good)
			assert.Equal(t, string(tt.conf), string(must.Get(os.ReadFile(path))(t)))
			assert.NoFileExists(t, path+".damaged")
			assert.Equal(t, tt.says == "", said == "", said)
			assert.Contains(t, said, tt.says)
		})
	}
}
