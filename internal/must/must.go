// Package must ends a test where it is asked for something and gets an error.
package must

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Get is what a call answered, in a test that cannot go on without it:
//
//	text := must.Get(os.ReadFile(path))(t)
//
// The test ends with the error, what else is said, and the line of the caller. What was answered is never printed.
func Get[T any](got T, err error) func(t testing.TB, said ...any) T {
	return func(t testing.TB, said ...any) T {
		t.Helper()
		require.NoError(t, err, said...)
		return got
	}
}

// Err is the error alone of a call that should be refused.
func Err[T any](_ T, err error) error { return err }
