package aws

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type clientFunc func(*http.Request) (*http.Response, error)

func (f clientFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// closable is a body as the SDK's: closed, it looks as if it broke off.
type closable struct {
	io.Reader
	closed bool
}

func (c *closable) Close() error { c.closed = true; return nil }

func (c *closable) Read(p []byte) (int, error) {
	if c.closed {
		return 0, io.ErrUnexpectedEOF
	}
	return c.Reader.Read(p)
}

// The SDK closes its body when there is an answer, which must not reach what net/http still reads.
func TestAtOnce(t *testing.T) {
	body := &closable{Reader: strings.NewReader("Action=DescribeRouteTables")}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", body)
	require.NoError(t, err)
	_, err = atOnce{clientFunc(func(r *http.Request) (*http.Response, error) {
		require.NoError(t, body.Close())
		sent, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "Action=DescribeRouteTables", string(sent))
		return nil, nil
	})}.Do(r)
	assert.NoError(t, err)
}
