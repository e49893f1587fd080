package gcp

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud"
)

var nameOfRoute = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Add puts a route of the network in, as somebody has made it.
func (c *Cloud) Add(name, description, prefix string, priority int, hop, target string) map[string]any {
	if strings.HasPrefix(target, "projects/") {
		target = Link + target
	}
	r := map[string]any{
		"kind": "compute#route", "name": name, "description": description, "network": Link + Network,
		"destRange": prefix, "priority": priority, "routeStatus": "ACTIVE", "futureField": []any{name}, hop: target,
	}
	c.Routes["example.com:mesh/"+name] = r
	return r
}

// Ours puts a route of the mesh in.
func (c *Cloud) Ours(name, prefix string, priority int, instance string) map[string]any {
	return c.Add("wgmesh-example-"+name, "wgmesh.router example", prefix, priority, "nextHopInstance", instance)
}

// Without is a copy of all routes without those of some prefixes.
func (c *Cloud) Without(prefixes ...string) map[string]map[string]any {
	out := map[string]map[string]any{}
	for name, r := range c.Routes {
		if !slices.Contains(prefixes, r["destRange"].(string)) {
			out[name] = maps.Clone(r)
		}
	}
	return out
}

// Names lists the routes for a prefix as "priority instance".
func (c *Cloud) Names(prefix string) []string {
	var out []string
	for _, r := range c.Routes {
		if r["destRange"] == prefix {
			out = append(out, fmt.Sprint(r["priority"], " ", filepath.Base(r["nextHopInstance"].(string))))
		}
	}
	slices.Sort(out)
	return out
}

// list answers two routes at a time.
func (c *Cloud) list(w http.ResponseWriter, r *http.Request, project string) {
	all := []any{}
	for _, key := range slices.Sorted(maps.Keys(c.Routes)) {
		if strings.HasPrefix(key, project+"/") {
			all = append(all, c.Routes[key])
		}
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
	page := map[string]any{"kind": "compute#routeList", "items": all[min(from, len(all)):min(from+2, len(all))]}
	if from+2 < len(all) {
		page["nextPageToken"] = strconv.Itoa(from + 2)
	}
	fakecloud.Answer(w, page)
	if from+2 >= len(all) && c.OnList != nil {
		c.OnList()
	}
}

func (c *Cloud) insert(w http.ResponseWriter, r *http.Request, project string) {
	var body map[string]any
	assert.NoError(c.t, json.NewDecoder(r.Body).Decode(&body))
	for field := range body {
		assert.Contains(c.t,
			[]string{"name", "description", "network", "destRange", "priority", "nextHopInstance", "nextHopIp"}, field)
	}
	name, _ := body["name"].(string)
	instance, _ := body["nextHopInstance"].(string)
	key := project + "/" + name
	_, exists := c.Routes[key]
	switch {
	case c.requests[r.URL.Query().Get("requestId")] == "" && exists:
		refuse(w, 409, "alreadyExists", "The resource 'projects/"+project+"/global/routes/"+name+"' already exists")
		return
	case !nameOfRoute.MatchString(name):
		refuse(w, 400, "invalid", "Invalid value for field 'resource.name': '"+name+"'.")
		return
	case instance != "" && !strings.HasPrefix(instance, "projects/"+project+"/"):
		refuse(w, 400, "invalid", fmt.Sprintf("Invalid value for field 'resource.nextHopInstance': '%s'. "+
			"Cross project referencing is not allowed for this resource.", instance))
		return
	case body["network"] != Network && body["network"] != Shared:
		refuse(w, 404, "notFound", fmt.Sprintf("The resource '%s' was not found", body["network"]))
		return
	}
	body["network"] = Link + body["network"].(string)
	if instance != "" {
		body["nextHopInstance"] = Link + instance
	}
	body["routeStatus"] = "ACTIVE"
	if c.Warning != nil {
		body["warnings"] = []any{c.Warning}
	}
	c.begin(w, r, "projects/"+project+"/global",
		fmt.Sprint("insert ", body["destRange"], " ", body["priority"]), func() {
			c.Routes[key] = body
		})
}
