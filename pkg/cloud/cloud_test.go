package cloud_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/cloud"
)

var three = []cloud.Interface{{ID: "c"}, {ID: "a", Primary: true}, {ID: "b", Forwarding: true}}

func TestSelect(t *testing.T) {
	for name, tt := range map[string]struct {
		words []string
		ids   []string
		err   string
	}{
		"all":            {words: []string{"all"}, ids: []string{"a", "b", "c"}},
		"primary":        {words: []string{"primary"}, ids: []string{"a"}},
		"ids":            {words: []string{"c", "B"}, ids: []string{"b", "c"}},
		"each once":      {words: []string{"primary", "a", "all"}, ids: []string{"a", "b", "c"}},
		"somebody's own": {words: []string{"a", "x"}, err: "interfaces: x is none of vm, which has a, b, c"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := cloud.Select(three, tt.words, "vm")
			if tt.err != "" {
				assert.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			var ids []string
			for _, i := range got {
				ids = append(ids, i.ID)
			}
			assert.Equal(t, tt.ids, ids)
		})
	}
	_, err := cloud.Select(nil, []string{"all"}, "vm")
	assert.EqualError(t, err, "interfaces: all is none of vm, which has none that can be set")
}

// After the changes of a plan nothing is left to plan.
func TestDiffConverges(t *testing.T) {
	for _, want := range []bool{true, false} {
		delta := cloud.Diff(want, three)
		require.NotEmpty(t, delta)
		assert.Empty(t, cloud.Diff(want, cloud.After(three, delta)))
	}
	assert.False(t, three[0].Forwarding, "After changed what it was given")
}
