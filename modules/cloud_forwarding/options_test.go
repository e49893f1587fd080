package cloudforwarding_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Two mistakes are said in the same order every time.
func TestMistakesInOrder(t *testing.T) {
	first := task.Fails(t, options{"api_endpoint": "x", "metadata_endpoint": "y", "instance_id": "i-1"})
	for range 20 {
		assert.Equal(t,
			first, task.Fails(t, options{"api_endpoint": "x", "metadata_endpoint": "y", "instance_id": "i-1"}))
	}
}
