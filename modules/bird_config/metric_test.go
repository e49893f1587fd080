package birdconfig

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/floor"
)

// BIRD's routes are worse than all others but the floor's.
func TestMetric(t *testing.T) {
	assert.Equal(t, uint32(floor.Metric)-1, uint32(bird.Metric))
}
