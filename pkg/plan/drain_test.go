package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/plan"
)

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
