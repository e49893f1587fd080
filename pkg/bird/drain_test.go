package bird_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/plan"
)

// A drain that is set in a text is the drain that the same configuration renders, so
// that a run of the mesh play finds nothing to change.
func TestRedrained(t *testing.T) {
	c, plain := load(t, "testdata/dual")
	for _, c.Version = range []bird.Version{{Major: 2, Minor: 17}, {Major: 3, Minor: 4}} {
		c.Drain = plan.Drain{}
		src := bird.Sources{IPv4: addrs("10.3.0.2")[0], IPv6: addrs("fd00:3::2")[0]}
		plain := bird.Render(c, src)
		assert.False(t, bird.Drained(plain).On())
		c.Drain = drain
		want := bird.Render(c, src)
		got := must.Get(bird.Redrained(plain, drain))(t)
		assert.Equal(t, string(want), string(got))
		assert.Equal(t, drain, bird.Drained(got))
		assert.Equal(t, string(plain), string(must.Get(bird.Redrained(got, plan.Drain{}))(t)))
	}
	for name, text := range map[string]string{
		"foreign": "router id 1.2.3.4;\n",
		"older":   strings.Replace(string(plain), "wgmesh_drained = ", "else_where = ", 1), "nothing": "",
	} {
		require.ErrorIs(t, must.Err(bird.Redrained([]byte(text), drain)), bird.ErrNoDrain, name)
	}
}

// What counts is what BIRD tries, then the file, then its copy.
func TestDrainedAsItIs(t *testing.T) {
	_, plain := load(t, "testdata/dual")
	drained := must.Get(bird.Redrained(plain, drain))(t)
	trial := bird.Have{
		Text: plain, Trial: drained,
		Marker: &bird.Marker{Stamp: bird.StampOf(drained)},
		Daemon: bird.Daemon{Running: true, Pending: true, Runs: bird.StampOf(drained)},
	}
	assert.Equal(t, drained, trial.Present())
	trial.Daemon = bird.Daemon{Running: true, Runs: bird.StampOf(plain)}
	assert.Equal(t, plain, trial.Present(), "it has been taken back")
	assert.Equal(t, drained, bird.Have{Text: drained[:40], Good: drained}.Present(), "it broke off")
}
