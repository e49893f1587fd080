package wg_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

func TestParsePublicKey(t *testing.T) {
	good := keyOf("ann").String()
	k := must.Get(plan.ParsePublicKey(good))(t)
	assert.Equal(t, keyOf("ann"), k)

	low := base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 31)...))
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, text := range map[string]string{
		"empty": "", "short": good[:43], "long": good + "A", "newline": good + "\n",
		"not base64":      strings.Repeat("!", 44),
		"url alphabet":    strings.Repeat("-", 43) + "=",
		"loose last bits": strings.Repeat("/", 43) + "=", "low order": low, "zero": zero,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := plan.ParsePublicKey(text)
			require.ErrorContains(t, err, "not a WireGuard public key")
			if text != "" {
				assert.NotContains(t, err.Error(), strings.TrimSpace(text), "it may be a private key")
			}
		})
	}
}

// An absent key is not a key, in JSON too.
func TestPublicKeyJSON(t *testing.T) {
	var keys map[string]plan.PublicKey
	require.NoError(t, json.Unmarshal([]byte(`{"a":"`+keyOf("ann").String()+`","b":"","c":null}`), &keys))
	assert.Equal(t, map[string]plan.PublicKey{"a": keyOf("ann"), "b": {}, "c": {}}, keys)
	assert.Error(t, json.Unmarshal([]byte(`{"a":"x"}`), &keys))
}

func TestSecretDoesNotPrint(t *testing.T) {
	b := [32]byte{0xde, 0xad, 0xbe, 0xef}
	s := wg.SecretOf(b)
	marshalled := must.Get(json.Marshal(map[string]any{"k": s}))(t)
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s),
		string(marshalled), fmt.Errorf("x %v", s).Error(),
	} {
		for _, leak := range []string{"222 173", "0xde", "dead", base64.StdEncoding.EncodeToString(b[:])[:6]} {
			assert.NotContains(t, strings.ToLower(text), strings.ToLower(leak))
		}
	}
}

func TestReadKeyFile(t *testing.T) {
	text := keyOf("ann").String()
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	put := func(content string, mode os.FileMode) func(t *testing.T) {
		return func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			require.NoError(t, os.Chmod(path, mode))
		}
	}
	tests := map[string]struct {
		make func(t *testing.T)
		err  string
	}{
		"right":       {put(text+"\n", 0o600), ""},
		"no newline":  {put(text, 0o400), ""},
		"readable":    {put(text, 0o640), "mode 0640, owner"},
		"blank lines": {put(text+"\r\n \n", 0o600), ""},
		"two lines":   {put(text+"\n"+text+"\n", 0o600), "expected base64 of 32 bytes (44 characters) on one line"},
		"too long":    {put(text+text, 0o600), "expected base64 of 32 bytes (44 characters) on one line"},
		"empty":       {put("", 0o600), "expected base64 of 32 bytes (44 characters) on one line"},
		"zero":        {put(strings.Repeat("A", 43)+"=", 0o600), "the key is all zeros"},
		"not base64": {
			put(strings.Repeat("?", 44), 0o600), "expected base64 of 32 bytes (44 characters) on one line",
		},
		"link": {func(t *testing.T) {
			require.NoError(t, os.Symlink("/dev/null", path))
		}, "is a symbolic link"},
		"folder":        {func(t *testing.T) { require.NoError(t, os.Mkdir(path, 0o700)) }, "is not a regular file"},
		"missing":       {func(*testing.T) {}, "file does not exist"},
		"names the key": {func(*testing.T) {}, path},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.RemoveAll(path))
			tt.make(t)
			printed, err := wg.ReadKeyFile(path)
			assert.Equal(t, "[redacted]", printed)
			if tt.err == "" {
				assert.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.err)
			assert.NotContains(t, err.Error(), text)
		})
	}
}
