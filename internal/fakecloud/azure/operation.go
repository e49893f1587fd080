package azure

import (
	"net/http"

	"github.com/wgmesh/router/internal/fakecloud"
)

func (c *Cloud) begin(w http.ResponseWriter, what string, undo func()) {
	c.ETag++
	c.Writes = append(c.Writes, what)
	c.left, c.undo = c.Polls, undo
	w.Header().Set("Azure-AsyncOperation", c.Outside+Operation+"?api-version=2025-05-01")
	w.Header().Set("x-ms-request-id", "req-write")
}

// work goes on with the operation, and reports whether it has ended.
func (c *Cloud) work() bool {
	if c.left--; c.left > 0 {
		return false
	}
	c.left, c.State = 0, "Succeeded"
	for _, all := range []map[string]map[string]any{c.NICs, c.Routes} {
		for _, r := range all {
			Properties(r)["provisioningState"] = "Succeeded"
		}
	}
	if c.Fails != "" && c.undo != nil {
		c.undo()
	}
	c.undo = nil
	return true
}

func (c *Cloud) poll(w http.ResponseWriter) {
	if c.OnPoll != nil {
		c.OnPoll()
	}
	switch {
	case !c.work():
		fakecloud.Answer(w, map[string]any{"status": "InProgress"})
	case c.Fails != "":
		w.Header().Set("x-ms-request-id", "req-op")
		fakecloud.Answer(w, map[string]any{
			"status": "Failed", "error": map[string]any{"code": c.Fails, "message": "It went wrong."},
		})
	default:
		fakecloud.Answer(w, map[string]any{"status": "Succeeded"})
	}
}

// Properties are those of a resource.
func Properties(resource map[string]any) map[string]any {
	return resource["properties"].(map[string]any)
}
