package azure

import (
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud"
)

// Add puts a route into the table, as somebody has made it, and returns its properties.
func (c *Cloud) Add(name, prefix, hop, address string) map[string]any {
	properties := map[string]any{
		"addressPrefix": prefix, "nextHopType": hop, "provisioningState": "Succeeded",
		"futureField": map[string]any{"Deep": []any{"<b>&", 1.5, nil}},
	}
	if address != "" {
		properties["nextHopIpAddress"] = address
	}
	id := Table + "/routes/" + name
	c.Routes[id] = map[string]any{
		"id": id, "name": name,
		"type": "Microsoft.Network/routeTables/routes", "futureTop": true, "properties": properties,
	}
	return properties
}

// Without is a copy of all routes without some.
func (c *Cloud) Without(ids ...string) map[string]map[string]any {
	some := maps.Clone(c.Routes)
	maps.DeleteFunc(some, func(id string, _ map[string]any) bool { return slices.Contains(ids, id) })
	raw, err := json.Marshal(some)
	require.NoError(c.t, err)
	out := map[string]map[string]any{}
	require.NoError(c.t, json.Unmarshal(raw, &out))
	return out
}

// route is a route as it is shown: with the etag of the table.
func (c *Cloud) route(id string) map[string]any {
	out := maps.Clone(c.Routes[id])
	out["etag"] = c.Tag()
	return out
}

func (c *Cloud) table(w http.ResponseWriter) {
	if c.left > 0 { // it goes on, whether somebody asks for the operation or not
		c.work()
	}
	routes := []any{}
	for _, id := range slices.Sorted(maps.Keys(c.Routes)) {
		routes = append(routes, c.route(id))
	}
	fakecloud.Answer(w, map[string]any{
		"id": Table, "name": "nodes", "location": "westeurope", "etag": c.Tag(), "tags": map[string]any{"a": "b"},
		"properties": map[string]any{
			"provisioningState":          c.State,
			"disableBgpRoutePropagation": false, "routes": routes, "subnets": []any{},
		},
	})
}

func (c *Cloud) putRoute(w http.ResponseWriter, r *http.Request, known bool) {
	if tag := r.Header.Get("If-Match"); known != (tag != "") || tag != "" && tag != c.Tag() {
		refuse(w, 412, "PreconditionFailed", "Precondition failed.")
		return
	}
	var body map[string]any
	assert.NoError(c.t, json.NewDecoder(r.Body).Decode(&body))
	delete(body, "etag")
	for _, field := range []string{"addressPrefix", "nextHopType", "nextHopIpAddress"} {
		assert.NotEmpty(c.t, Properties(body)[field], field)
	}
	id, name := r.URL.Path, filepath.Base(r.URL.Path)
	body["id"], body["name"], body["type"] = id, name, "Microsoft.Network/routeTables/routes"
	Properties(body)["provisioningState"] = "Updating"
	before := c.Routes[id]
	c.Routes[id], c.State = body, "Updating"
	c.begin(w, "PUT "+name, func() {
		delete(c.Routes, id)
		if before != nil {
			c.Routes[id] = before
		}
	})
	c.Lose.Take(w)
	w.WriteHeader(map[bool]int{true: 200, false: 201}[known])
	fakecloud.Answer(w, c.route(id))
}

func (c *Cloud) removeRoute(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("If-Match") != c.Tag() {
		refuse(w, 412, "PreconditionFailed", "Precondition failed.")
		return
	}
	before := c.Routes[r.URL.Path]
	delete(c.Routes, r.URL.Path)
	c.State = "Updating"
	c.begin(w, "DELETE "+filepath.Base(r.URL.Path), func() { c.Routes[r.URL.Path] = before })
	c.Lose.Take(w)
	w.WriteHeader(202)
}
