package azure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
	"github.com/wgmesh/router/pkg/order"
)

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
