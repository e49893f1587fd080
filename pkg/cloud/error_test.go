package cloud_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/cloud"
)

func TestErrorIsOneLine(t *testing.T) {
	e := &cloud.Error{
		Do: "read x", Code: "Denied", Message: "No.\r\n\tNot you.\x1b[31m",
		RequestID: "r-1", Hint: "ask somebody",
	}
	assert.Equal(t, "read x: Denied: No. Not you. [31m (request r-1); ask somebody", e.Error())

	e = &cloud.Error{Do: "read x", Err: io.ErrUnexpectedEOF}
	assert.Equal(t, "read x: unexpected EOF", e.Error())
	assert.True(t, errors.Is(e, io.ErrUnexpectedEOF))

	e = &cloud.Error{Do: "read x", Message: strings.Repeat("é", 10_000)}
	assert.Less(t, len(e.Error()), 1000)
}

func FuzzError(f *testing.F) {
	f.Add("Code", "a\nb", "id")
	f.Fuzz(func(t *testing.T, code, message, id string) {
		text := (&cloud.Error{Do: "x", Code: code, Message: message, RequestID: id}).Error()
		assert.NotContains(t, text, "\n")
		assert.NotContains(t, text, "\x1b")
		assert.Less(t, len(text), 3*4*500)
	})
}
