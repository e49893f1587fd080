package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/plan"
)

// What stands in files, scripts and commands of others has no character that ends one.
func TestName(t *testing.T) {
	n := plan.Name{First: plan.Letters, Rest: plan.Alphanumeric + "_.-", Most: 15}
	for _, good := range []string{"w", "wg20", "a_.-", strings.Repeat("Z", 15)} {
		assert.True(t, n.Fits(good), good)
	}
	for _, bad := range []string{
		"", "2wg", "-h", ".", " wg", "wg ", "wg\n", "\nwg", "wg\x00", "wg;id", "w/g", `w"`, "w*", "wé", "é", "ｗ",
		"\u212a", "w\u212a",
		"w\xff", "\xff", strings.Repeat("Z", 16), strings.Repeat("Z", 15) + "\n",
	} {
		assert.False(t, n.Fits(bad), "%q", bad)
	}
	assert.True(t, plan.Only("0123", plan.Digits))
	for _, bad := range []string{"", "+1", "1 ", "1\n", "-1", "١", "1_0", "0x1", "1\x00"} {
		assert.False(t, plan.Only(bad, plan.Digits), "%q", bad)
	}
}

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

func TestDrain(t *testing.T) {
	since := time.Date(2026, 11, 27, 15, 30, 0, 0, time.UTC)
	for _, d := range []plan.Drain{
		{}, {Since: since}, {Since: since, Why: "a new kernel"}, {Since: since, Why: "größer; } # $x"},
	} {
		assert.NoError(t, d.Validate())
		assert.Equal(t, d, plan.ParseDrain(d.String()))
	}
	assert.True(t, plan.ParseDrain("by hand").On(), "somebody wrote something there")
	for _, why := range []string{"two\nlines", `a "quote"`, `\`, "\x1b[1m", strings.Repeat("x", 101)} {
		err := plan.Drain{Since: since, Why: why}.Validate()
		assert.ErrorContains(t, err, "drain_why: ")
		assert.Less(t, len(err.Error()), 160)
	}
}

// The number of a tunnel follows from the ids of its two routers, in either order.
func ExampleNumber() {
	fmt.Println(plan.Number(1, 3), plan.Number(3, 1))
	// Output: 2 2
}

// A router's name becomes a name that BIRD accepts for a protocol.
func ExampleProtocolName() {
	fmt.Println(plan.ProtocolName("azure-1"))
	// Output: azure_1
}
