package must_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
)

// A watched test keeps what is said and is ended by a panic.
type watched struct {
	testing.TB
	said string
}

func (w *watched) Errorf(format string, args ...any) { w.said += fmt.Sprintf(format, args...) }
func (w *watched) FailNow()                          { panic("ended") }

func TestGet(t *testing.T) {
	assert.Equal(t, "a secret", must.Get("a secret", nil)(t))
	assert.EqualError(t, must.Err("a secret", errors.New("no entropy")), "no entropy")
	w := &watched{TB: t}
	assert.PanicsWithValue(t, "ended", func() { must.Get("a secret", errors.New("no entropy"))(w, "key %d", 7) })
	for _, part := range []string{"must/must_test.go:", "no entropy", "key 7"} {
		assert.Contains(t, w.said, part)
	}
	assert.NotContains(t, w.said, "a secret")
}
