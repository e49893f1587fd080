package lab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
)

// .ci/base makes the base beside what compiles. It is lost work where the lab looks for
// another one.
func TestBaseIsTheOneThatCIMakes(t *testing.T) {
	said := must.Get(exec.CommandContext(t.Context(), "../../.ci/base", "path").Output())(t)
	require.Equal(t, filepath.Join("/var/cache/wgmesh-lab", "base-"+hash(baseRecipe+"bookworm")),
		strings.TrimSpace(string(said)))
}
