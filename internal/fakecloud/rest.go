package fakecloud

import (
	"fmt"
	"net/http"
	"strings"
)

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
