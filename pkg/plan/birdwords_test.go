package plan_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/plan"
)

func TestIsBirdSymbol(t *testing.T) {
	for _, ours := range []string{
		"wgmesh_config", "device1", "bfd1", "other_site", "same_site_dual", "carries", "kernel4", "master6",
		"to_same_site4", "outside6", "outside_default6", "outside_kernel6", "outside_site6",
	} {
		assert.True(t, plan.IsBirdSymbol(ours), ours)
	}
	for _, free := range []string{
		"", "4", "46", "kernel", "kernel5", "kernel46", "kernel44", "Kernel4", "device14", "xdevice1", "device1 ",
		"bfd1\n",
		"other_site4", "from_site4", "from_other_site", "peer_as peer_address",
	} {
		assert.False(t, plan.IsBirdSymbol(free), "%q", free)
	}
}
