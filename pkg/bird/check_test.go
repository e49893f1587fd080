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
