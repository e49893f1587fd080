// Package fakecloud is what the stand-ins for the clouds have in common. Below it there
// is one for each cloud, and in published what they are held against.
package fakecloud

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
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
