// Package fakecloud is what the stand-ins for the clouds have in common. Below it there
// is one for each cloud, and in published what they are held against.
package fakecloud

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
)

// A Loss is how often the connection is cut in place of an answer to a write.
type Loss struct {
	Times  int
	Middle bool // the connection is cut in the middle of the answer
	Reads  bool // answers to reads get lost too, from the first write on
}

// Take loses an answer, if one is to get lost.
func (l *Loss) Take(w http.ResponseWriter) {
	if l.Times == 0 {
		return
	}
	l.Times--
	if l.Middle {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"id`)
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// Loopback refuses every host but loopback: a test that forgets to override an address
// reaches nobody.
func Loopback(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s: a test reaches loopback only", host)
}

// Answer writes v as JSON.
func Answer(w io.Writer, v any) { _ = json.NewEncoder(w).Encode(v) }

// Faults are answers in place of the real ones, each given once, in order. The key is a
// method and a path such as "PUT /x"; one that ends in / is for all below it.
type Faults map[string][]http.HandlerFunc

// Take answers with the next fault for a request, and reports whether there was one.
func (f Faults) Take(w http.ResponseWriter, r *http.Request) bool {
	where := r.Method + " " + r.URL.Path
	for key, queue := range f {
		if len(queue) > 0 && (key == where || strings.HasSuffix(key, "/") && strings.HasPrefix(where, key)) {
			f[key] = queue[1:]
			queue[0](w, r)
			return true
		}
	}
	return false
}

// Tokens are token-1, token-2 and so on, as a metadata service hands them out.
type Tokens struct {
	Token int // the last that was handed out
	Valid int // the oldest that is accepted
}

// Next hands out a token.
func (t *Tokens) Next() string {
	t.Token++
	return fmt.Sprintf("token-%d", t.Token)
}

// Accept reports whether a request carries a token that is valid still.
func (t *Tokens) Accept(r *http.Request) bool {
	var token int
	_, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer token-%d", &token)
	return err == nil && token >= t.Valid
}
