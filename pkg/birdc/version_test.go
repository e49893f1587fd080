package birdc_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/birdc"
)

func TestNumbers(t *testing.T) {
	for version, want := range map[string][]int{
		"2.0.12":                 {2, 0, 12},
		"3.1":                    {3, 1},
		"2.17.6+branch":          {2, 17, 6},
		"2.18-rc.1":              {2, 18},
		"2.":                     {2},
		"v2.0":                   nil,
		"-2.0":                   nil,
		"":                       nil,
		"99999999999999999999.1": nil,
	} {
		assert.Equal(t, want, birdc.Numbers(version), version)
	}
}
