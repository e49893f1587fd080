package must_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

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

func TestTree(t *testing.T) {
	dir := t.TempDir()
	file, when := filepath.Join(dir, "a"), time.Unix(1, 0)
	write := func(text string, mode os.FileMode) map[string]string {
		assert.NoError(t, errors.Join(os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode),
			os.Chtimes(file, when, when), os.Chtimes(dir, when, when)))
		return must.Tree(t, dir)
	}
	before := write("1", 0o600)
	assert.Len(t, before, 2, "the folder and the file")
	assert.Equal(t, before, write("1", 0o600))
	assert.NotEqual(t, before, write("2", 0o600))
	assert.NotEqual(t, before, write("1", 0o644))
	assert.Empty(t, must.Tree(t, file+"bsent"))
}
