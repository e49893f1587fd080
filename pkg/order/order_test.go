package order_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/order"
)

func TestBy(t *testing.T) {
	words := []string{"b2", "a1", "c1", "b1", "a2"}
	order.By(words, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
	assert.Equal(t, []string{"a1", "a2", "b2", "b1", "c1"}, words)
	order.By(nil, strings.Compare)
}
