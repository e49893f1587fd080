package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
	"github.com/wgmesh/router/pkg/order"
)

// RouteOptions say for which router, and how to reach Azure.
type RouteOptions struct {
	Via string // an address; "" for that of this machine's one interface, with its managed identity
	cloud.Way
}

// Routes are routes of route tables to one address.
type Routes struct {
	via  string
	rest *cloud.REST
}

// ConnectRoutes finds this machine's first address and its cloud from the metadata service, and
// takes its managed identity; or, for an address that was named, what Azure's own tools take.
func ConnectRoutes(ctx context.Context, o RouteOptions) (route.Tables, error) {
	rest, about, err := connect(ctx, o.Via == "", o.Way)
	if err != nil {
		return nil, err
	}
	if n := len(about.Network.Interfaces); n > 1 {
		return nil, fmt.Errorf("via: this machine has %d network interfaces, "+
			"and its metadata does not say which is the primary one: "+
			"give the address that the routes shall go to", n)
	}
	where := "via"
	if o.Via == "" {
		where, o.Via = "metadata of the instance", about.address()
	}
	via, err := netip.ParseAddr(o.Via)
	if err != nil {
		return nil, fmt.Errorf("%s: on Azure expected an address, such as that of the routers' load balancer, got %q",
			where, o.Via)
	}
	return &Routes{via.String(), rest}, nil
}

// Via is the address.
func (r *Routes) Via() string { return r.via }

// Rehearse does nothing: Azure cannot be asked whether a write would be allowed.
func (*Routes) Rehearse(context.Context, route.Want, route.Change) error { return nil }

// Write writes one route, or deletes it, and waits for the operation. What is
// there is read once more, in full, and goes back with the next hop changed.
func (r *Routes) Write(ctx context.Context, w route.Want, c route.Change) (changed bool, err error) {
	if c.Old == nil {
		body, err := parsedRoute{}.with(*c.New)
		if err != nil {
			return false, err
		}
		return r.send(ctx, *c.New, name(w.Mesh, c.New.Prefix), cloud.Request{
			Do: "make the route", Method: http.MethodPut, Body: body,
		})
	}
	there, err := r.read(ctx, *c.Old)
	switch {
	case err != nil && c.New == nil && gone(err): // as good as deleted
		return false, nil
	case err != nil && gone(err):
		return false, race(err)
	case err != nil:
		return false, err
	case there.via() != c.Old.Via:
		return false, &cloud.Error{Do: at(*c.Old), Message: "it goes to " + there.via() + " by now", Kind: cloud.Race}
	}
	q := cloud.Request{
		Do: "delete the route", Method: http.MethodDelete, Header: map[string]string{"If-Match": there.etag},
	}
	if c.New != nil {
		q.Do, q.Method = "write the route", http.MethodPut
		if q.Body, err = there.with(*c.New); err != nil {
			return false, err
		}
	}
	changed, err = r.send(ctx, *c.Old, c.Old.Name, q)
	if c.New == nil && gone(err) {
		err = nil
	}
	return changed, err
}

func (r *Routes) send(ctx context.Context, at route.Route, name string, q cloud.Request) (changed bool, err error) {
	q.Do = at.Table + ": " + at.Prefix.String() + ": " + q.Do + " " + name
	q.URL = r.url(at.Table + "/routes/" + name)
	a, err := r.rest.Send(ctx, q)
	if err != nil {
		return cloud.Unsure(err), err
	}
	return true, wait(ctx, r.rest, q.Do, a)
}

func (r *Routes) read(ctx context.Context, old route.Route) (parsedRoute, error) {
	do := at(old) + ": read the route " + old.Name
	a, err := r.rest.Send(ctx, cloud.Request{
		Do: do, Method: http.MethodGet, URL: r.url(old.Table + "/routes/" + old.Name),
	})
	if err != nil {
		return parsedRoute{}, err
	}
	return parseRoute(do, a)
}

func (r *Routes) url(id string) string { return r.rest.Base + id + "?api-version=" + networkVersion }

func at(r route.Route) string { return r.Table + ": " + r.Prefix.String() }

func gone(err error) bool {
	var e *cloud.Error
	return errors.As(err, &e) && (e.Code == "NotFound" || e.Code == "ResourceNotFound" || e.Code == "HTTP 404")
}

// race makes an error one that says that somebody else wrote.
func race(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		e.Kind = cloud.Race
	}
	return err
}

// name is what our route for a prefix is called, which is also its mark.
func name(mesh string, prefix netip.Prefix) string {
	return "wgmesh-" + mesh + "-" + strings.NewReplacer(".", "-", ":", "-", "/", "-").Replace(prefix.String())
}

// A parsedRoute is a route and the few fields of it that matter.
type parsedRoute struct {
	resource
	about routeProperties
}

type routeProperties struct {
	Prefix  string `json:"addressPrefix"`
	Type    string `json:"nextHopType"`
	Address string `json:"nextHopIpAddress"`
	State   string `json:"provisioningState"`
}

func (p parsedRoute) via() string { return p.about.via() }

// via is where a route goes: an address, or in words what is none.
func (p routeProperties) via() string {
	if address, err := netip.ParseAddr(p.Address); err == nil && strings.EqualFold(p.Type, "VirtualAppliance") {
		return address.String()
	}
	return cloud.Line("the next hop " + p.Type + " " + p.Address)
}

// Observe reads the tables, each until no operation is changing it.
func (r *Routes) Observe(ctx context.Context, w route.Want) ([]route.Route, error) {
	if err := sameFamily(w); err != nil {
		return nil, err
	}
	var have []route.Route
	for _, table := range w.Tables {
		if err := checkTable(table); err != nil {
			return nil, err
		}
		routes, err := r.settled(ctx, table)
		if err != nil {
			return nil, err
		}
		for _, each := range routes {
			prefix, err := netip.ParsePrefix(each.About.Prefix)
			if err != nil {
				continue // for a service tag
			}
			if one := each.route(w, table, prefix.Masked()); w.Covers(one) {
				have = append(have, one)
			}
		}
	}
	order.By(have, route.Compare)
	return have, nil
}

// sameFamily refuses an address that has not the family of the prefixes.
func sameFamily(w route.Want) error {
	via, err := netip.ParseAddr(w.Via)
	if err != nil {
		return err
	}
	for _, p := range w.Prefixes {
		if p.Addr().Is4() != via.Is4() {
			return fmt.Errorf(
				"prefixes: %s cannot go to %s, which is of the other family of addresses: use a task for each", p, via)
		}
	}
	return nil
}

func checkTable(id string) error {
	if !isID(id, "microsoft.network/routetables") {
		return fmt.Errorf(
			"tables: expected "+
				"/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Network/routeTables/NAME, got %q", id)
	}
	return nil
}

type listed struct {
	Name  string          `json:"name"`
	About routeProperties `json:"properties"`
}

// settled reads a table until no operation is changing it.
func (r *Routes) settled(ctx context.Context, id string) ([]listed, error) {
	var table struct {
		Properties *struct {
			State  string   `json:"provisioningState"`
			Routes []listed `json:"routes"`
		} `json:"properties"`
	}
	do := id + ": read the route table"
	err := r.rest.Pace.Until(ctx, func(ctx context.Context) (bool, string, error) {
		table.Properties = nil
		if err := r.rest.Get(ctx, do, r.url(id), &table); err != nil {
			return false, "", err
		}
		if table.Properties == nil {
			return false, "", &cloud.Error{Do: do, Err: errors.New("no properties in the answer")}
		}
		state := table.Properties.State
		busy := state != "Succeeded" && state != "Failed" && state != "Canceled"
		return !busy, fmt.Sprintf("%s: its provisioningState is %s", id, cloud.Line(state)), nil
	})
	if err != nil {
		return nil, err
	}
	return table.Properties.Routes, nil
}

// route is what a route means for us. Ours has the very name that we give.
func (l listed) route(w route.Want, table string, prefix netip.Prefix) route.Route {
	out := route.Route{Table: table, Prefix: prefix, Via: l.About.via(), Name: cloud.Line(l.Name)}
	if !strings.EqualFold(l.Name, name(w.Mesh, prefix)) {
		out.Foreign = out.Via + " by the route " + out.Name
	}
	if l.About.State == "Failed" {
		out.Trouble = "its provisioningState is Failed"
	}
	return out
}

func parseRoute(do string, a cloud.Answer) (p parsedRoute, err error) {
	err = p.parse(do, a, &p.about)
	return p, err
}

func (p parsedRoute) with(want route.Route) ([]byte, error) {
	return p.set(map[string]any{
		"addressPrefix": want.Prefix.String(), "nextHopType": "VirtualAppliance", "nextHopIpAddress": want.Via,
	})
}
