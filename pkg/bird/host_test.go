package bird_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
)

func TestBirdsGroup(t *testing.T) {
	for text, want := range map[string]int{
		"root:x:0:\nbird:x:117:\n": 117, "bird:x:117:a,b": 117, "bird::0117:": 117, "bird:x:117:\nbird:x:118:\n": 117,
		"": 0, "bird:x:117": 0, "bird:x::": 0, "bird:x:-1:": 0, "bird:x:+1:": 0, "bird:x:1 :": 0, "bird:117:": 0,
		" bird:x:117:": 0, "xbird:x:117:": 0, "birds:x:117:": 0, "bird:x\n:117:": 0, "bird:x:1x:\nbird:x:118:": 118,
	} {
		assert.Equal(t, want, bird.BirdsGroup(text), "%q", text)
	}
}

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
				must.Write(t, root+f, "", 0o600)
			}
			assert.Equal(t, root+tt.want, bird.ConfigPath(root))
		})
	}
}

// Later BIRDs warn of each function before they say what is wrong.
func TestRefusalIsNoWarning(t *testing.T) {
	const warning = "bird: /dev/stdin:69:1 Inferring function own4 return type from its return value: bool"
	const refusal = "bird: /dev/stdin:9:2 syntax error"
	for said, want := range map[string]string{
		warning + "\n" + warning + "\n" + refusal + "\n": refusal, refusal + "\n": refusal, warning + "\n": warning,
	} {
		tools := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(tools, "said"), []byte(said), 0o600))
		must.Write(t, filepath.Join(tools, "bird"), "#!/bin/sh\ncat "+tools+"/said >&2\nexit 1\n", 0o700)
		t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
		err := bird.Check(context.Background(), nil)
		assert.EqualError(t, err, "bird refuses the configuration: "+want+" (exit status 1)")
	}
}
