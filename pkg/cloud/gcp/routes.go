package gcp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// RouteOptions say for which router, and how to reach Google.
type RouteOptions struct {
	Via     string // [projects/P/]zones/Z/instances/N; "" for this machine, with its service account
	Project string // of the networks; "" for that of the router
	cloud.Way
}

// Routes are static routes to one instance, the router.
type Routes struct {
	router  *Instance
	project string // of the networks that do not say
	ends    []end  // of the router; nil until they are asked for
}

// instances are how an instance is written; the first part may be missing.
var instances = regexp.MustCompile(
	`^(?:https://[^/]+/compute/v1/)?(?:projects/([^/]+)/)?zones/([^/]+)/instances/([^/]+)$`)

// ConnectRoutes finds this machine's name from the metadata service, and takes its service account;
// or, for an instance that was named, the application default credentials.
func ConnectRoutes(ctx context.Context, o RouteOptions) (route.Tables, error) {
	at := Options{Way: o.Way}
	if o.Via != "" {
		parts := instances.FindStringSubmatch(o.Via)
		if parts == nil {
			return nil, fmt.Errorf("via: expected zones/ZONE/instances/NAME, "+
				"with projects/PROJECT/ before it or with the option project, got %q", o.Via)
		}
		at.Project, at.Zone, at.Name = cmp.Or(parts[1], o.Project), parts[2], parts[3]
	}
	router, err := Connect(ctx, at)
	if err != nil {
		return nil, err
	}
	r := &Routes{router: router, project: cmp.Or(o.Project, router.project)}
	if !words.MatchString(r.project) {
		return nil, fmt.Errorf("project: expected a name as Google Cloud has them, got %q", r.project)
	}
	return r, nil
}

// Via is the instance.
func (r *Routes) Via() string {
	return "projects/" + r.router.project + "/zones/" + r.router.zone + "/instances/" + r.router.name
}

// Rehearse looks at the access scopes. Permissions to make routes cannot be asked
// for with this API.
func (r *Routes) Rehearse(context.Context, route.Want, route.Change) error {
	return r.router.mayWrite("routes")
}

// Write makes the new route, waits until it is there, and only then deletes the old one.
func (r *Routes) Write(ctx context.Context, w route.Want, c route.Change) (changed bool, err error) {
	if err := r.router.mayWrite("routes"); err != nil {
		return false, err
	}
	if c.New != nil {
		if changed, err = r.insert(ctx, w, *c.New); err != nil {
			return changed, err
		}
	}
	if c.Old != nil {
		deleted, err := r.remove(ctx, *c.Old)
		return changed || deleted, err
	}
	return changed, nil
}

// insert makes a route. Its name follows from what it says, so that two runs at once make one.
func (r *Routes) insert(ctx context.Context, w route.Want, n route.Route) (changed bool, err error) {
	project, network, err := r.network(n.Table)
	if err != nil {
		return false, err
	}
	field, hop, err := r.hop(ctx, n)
	if err != nil {
		return false, err
	}
	about := fmt.Sprint(network, " ", n.Prefix, " ", hop, " ", n.Priority)
	body, err := json.Marshal(map[string]any{
		"name":        names(w.Mesh) + fmt.Sprintf("%x", sha256.Sum256([]byte(about)))[:12],
		"description": description(w.Mesh),
		"network":     network, "destRange": n.Prefix.String(), "priority": n.Priority, field: hop,
	})
	if err != nil {
		return false, err
	}
	do := n.Table + ": " + n.Prefix.String() + ": make the route"
	changed, err = r.do(ctx, do, project, http.MethodPost, "/routes", body)
	if e, ok := errors.AsType[*cloud.Error](err); ok && strings.Contains(squeeze(e.Code), "alreadyexists") {
		e.Kind = cloud.Race
	}
	return changed, err
}

// remove deletes a route. One that is gone is as good.
func (r *Routes) remove(ctx context.Context, old route.Route) (changed bool, err error) {
	project, _, err := r.network(old.Table)
	if err != nil {
		return false, err
	}
	do := old.Table + ": " + old.Prefix.String() + ": delete the route " + old.Name
	changed, err = r.do(ctx, do, project, http.MethodDelete, "/routes/"+old.Name, nil)
	if e, ok := errors.AsType[*cloud.Error](err); ok && strings.Contains(squeeze(e.Code), "notfound") {
		err = nil
	}
	return changed, err
}

func (r *Routes) do(ctx context.Context, do, project, method, path string, body []byte) (changed bool, err error) {
	id := newRequestID() // the same one when the request is sent again
	a, err := r.router.rest.Send(ctx, cloud.Request{
		Do: do, Method: method, URL: r.url(project) + path + "?requestId=" + id, Body: body,
	})
	if err != nil {
		return cloud.Unsure(err), named(err, id)
	}
	return true, named(wait(ctx, r.router.rest, r.url(project), do, a), id)
}

func (r *Routes) url(project string) string {
	return r.router.api + "/compute/v1/projects/" + project + "/global"
}

// squeeze makes one of the two ways in which Google writes codes.
func squeeze(code string) string { return strings.ReplaceAll(strings.ToLower(code), "_", "") }

// names are what names of a mesh's routes begin with.
func names(mesh string) string { return "wgmesh-" + mesh + "-" }

func description(mesh string) string { return route.Mark + " " + mesh }

// network takes the name of a network apart: its project and its path.
func (r *Routes) network(table string) (project, path string, err error) {
	project, name := r.project, table
	if rest, found := strings.CutPrefix(table, "projects/"); found {
		project, name, _ = strings.Cut(rest, "/global/networks/")
	}
	if !words.MatchString(project) || !words.MatchString(name) {
		return "", "", fmt.Errorf(
			"tables: expected the name of a network, or projects/PROJECT/global/networks/NAME, got %q", table)
	}
	return project, "projects/" + project + "/global/networks/" + name, nil
}
