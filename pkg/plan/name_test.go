package plan_test

import (
	"strings"
	"testing"

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
