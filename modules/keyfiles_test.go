package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/keypair"
	"github.com/wgmesh/router/pkg/seal"
	"github.com/wgmesh/router/pkg/wg"
)

// All modules read a key file alike: none refuses what another one took, and whose
// public half is with the peers by then. What wg(8) takes is taken.
func TestKeyFilesAreReadAlike(t *testing.T) {
	key := seal.NewWGPrivate()
	text := string(key.Encode()[:44])
	zero := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for name, tt := range map[string]struct {
		text string
		good bool
	}{
		"as wg genkey prints": {text + "\n", true}, "no newline": {text, true}, "Windows": {text + "\r\n", true},
		"a blank": {text + " \n", true}, "a tab": {text + "\t", true},
		"blank lines": {text + "\n\n \n", true}, "a form feed": {text + "\f\v", true},
		"UTF-8 with a mark": {"\xef\xbb\xbf" + text + "\n", false},
		"UTF-16":            {"\xff\xfe" + text, false}, "a blank before": {" " + text + "\n", false},
		"two keys": {text + "\n" + text + "\n", false}, "a comment": {text + " # mine\n", false},
		"short": {text[:43] + "\n", false}, "zero": {zero + "\n", false},
		"empty": {"", false}, "not base64": {"!" + text[1:] + "\n", false}, "a NUL at the end": {text + "\x00", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "key")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			host := must.Get(wg.Open(dir))(t)
			defer func() { _ = host.Close() }()
			public, err := host.PublicKey(path)
			assert.Equal(t, tt.good, err == nil, "wg_tunnel, the private key: %v", err)
			_, err = host.Fingerprint(path)
			assert.Equal(t, tt.good, err == nil, "wg_tunnel, a pre-shared key: %v", err)
			_, err = seal.ParsePSK([]byte(tt.text))
			assert.Equal(t, tt.good, err == nil, "wg_psk: %v", err)
			have := must.Get(keypair.Host{}.Observe(t.Context(), keypair.Want{
				Files: keypair.Files{PrivateKey: path, SealingKey: dir + "/seal", Identity: dir + "/id"},
			}))(t)
			assert.Equal(t, tt.good, have.Private.Broken == nil, "wg_keypair: %v", have.Private.Broken)
			if tt.good {
				assert.Equal(t, public.String(), have.Private.Public)
			}
		})
	}
}
