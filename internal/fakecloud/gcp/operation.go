package gcp

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"

	"github.com/stretchr/testify/assert"
)

type operation struct {
	scope  string // "projects/P/global" or "projects/P/zones/Z"
	left   int
	failed string
	do     func()
}

// begin answers with an operation, the same one to the same request.
func (c *Cloud) begin(w http.ResponseWriter, r *http.Request, scope, what string, do func()) {
	id := r.URL.Query().Get("requestId")
	assert.Regexp(c.t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
	if c.requests[id] == "" {
		name := fmt.Sprint("operation-", len(c.operations)+1)
		c.requests[id] = name
		c.operations[name] = &operation{scope: scope, left: c.Waits, failed: c.Fails, do: do}
		c.Writes = append(c.Writes, what)
	}
	c.Lose.Take(w)
	answer(w, map[string]any{"kind": "compute#operation", "name": c.requests[id], "status": "PENDING"})
}

func (c *Cloud) wait(w http.ResponseWriter, name string) {
	if c.OnWait != nil {
		c.OnWait()
	}
	o := c.operations[name]
	out := map[string]any{"kind": "compute#operation", "name": name, "status": "RUNNING"}
	if o.left--; o.left <= 0 {
		out["status"] = "DONE"
		if o.failed != "" {
			out["error"] = map[string]any{
				"errors": []any{map[string]any{"code": o.failed, "message": "It went wrong."}},
			}
		} else if o.do != nil {
			o.do()
			o.do = nil
			maps.DeleteFunc(c.Routes, func(_ string, r map[string]any) bool { return r["destRange"] == c.Deletes })
		}
	}
	answer(w, out)
}

// print is the fingerprint, which is in base64.
func (c *Cloud) print() string { return fmt.Sprintf("fp%02d", c.Fingerprint) }

// update begins to make the instance what the body says.
func (c *Cloud) update(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	assert.Equal(c.t, "REFRESH", q.Get("mostDisruptiveAllowedAction"))
	assert.Empty(c.t, q.Get("minimalAction"))
	var body map[string]any
	assert.NoError(c.t, json.NewDecoder(r.Body).Decode(&body))
	again := c.requests[q.Get("requestId")] != "" // the operation that it has started is still the answer
	switch {
	case !again && body["fingerprint"] != c.print():
		refuse(w, 412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint.")
		return
	case c.Restart:
		refuse(w, 400, "invalid", "Update of the instance requires RESTART, which is more disruptive than REFRESH.")
		return
	}
	delete(body, "fingerprint")
	c.begin(w, r, Zone, fmt.Sprint("canIpForward ", body["canIpForward"]), func() {
		if c.VM != nil {
			c.VM = body
			c.Fingerprint++
		}
	})
}
