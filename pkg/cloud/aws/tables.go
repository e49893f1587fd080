package aws

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
	"github.com/wgmesh/router/pkg/order"
)

// Observe reads the tables, which have to carry the mesh's mark as a tag.
func (r *Routes) Observe(ctx context.Context, w route.Want) ([]route.Route, error) {
	in := &ec2.DescribeRouteTablesInput{RouteTableIds: w.Tables}
	do := strings.Join(w.Tables, ", ") + ": ec2:DescribeRouteTables"
	found := map[string]bool{}
	var have []route.Route
	var seen []types.RouteTable
	for {
		var out *ec2.DescribeRouteTablesOutput
		err := r.pace.Try(ctx, r.renew, func(ctx context.Context) (err error) {
			out, err = r.describe(ctx, in)
			return wrap(do, err)
		})
		if err != nil {
			return nil, err
		}
		for _, t := range out.RouteTables {
			id := aws.ToString(t.RouteTableId)
			if !slices.Contains(w.Tables, id) || found[id] {
				continue
			}
			if err := marked(id, t.Tags, w.Mesh); err != nil {
				return nil, err
			}
			found[id] = true
			seen = append(seen, t)
			have = append(have, routes(w, id, t.Routes)...)
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	for _, id := range w.Tables {
		if !found[id] {
			return nil, &cloud.Error{
				Do: id, Message: "there is no such route table in " + r.region,
				Hint: "check its id and account, and that it was not deleted",
			}
		}
	}
	if w.Note != nil {
		r.notes(ctx, w, seen)
	}
	order.By(have, route.Compare)
	return have, nil
}

// marked refuses a table whose tag is missing or names another mesh.
func marked(id string, tags []types.Tag, mesh string) error {
	for _, t := range tags {
		switch {
		case aws.ToString(t.Key) != route.Mark:
		case aws.ToString(t.Value) == mesh:
			return nil
		default:
			return fmt.Errorf("%s: its tag %s is %q, not %q: "+
				"give this router a table of its own mesh, or correct the tag",
				id, route.Mark, aws.ToString(t.Value), mesh)
		}
	}
	return fmt.Errorf("%s: it has no tag %s: tag it with %s=%s where the table is made, "+
		"so that routers may move its routes", id, route.Mark, route.Mark, mesh)
}

// routes are those for the wanted prefixes. What a virtual private gateway propagates beside
// a static route carries nothing: AWS takes the static one.
func routes(w route.Want, table string, all []types.Route) []route.Route {
	var out, propagated []route.Route
	for _, each := range all {
		prefix, ok := network(each)
		if !ok {
			continue // to a prefix list
		}
		r := route.Route{Table: table, Prefix: prefix, Via: cloud.Line(aws.ToString(each.NetworkInterfaceId))}
		if !w.Covers(r) {
			continue
		}
		r.Trouble = trouble(each)
		if r.Foreign = foreign(each); r.Foreign != "" {
			r.Via = r.Foreign
		}
		if each.Origin == types.RouteOriginEnableVgwRoutePropagation {
			propagated = append(propagated, r)
		} else {
			out = append(out, r)
		}
	}
	static := out
	for _, r := range propagated {
		if !slices.ContainsFunc(static, func(s route.Route) bool { return s.Prefix == r.Prefix }) {
			out = append(out, r)
		}
	}
	return out
}

// network is the destination of a route, unless that is a prefix list.
func network(r types.Route) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(aws.ToString(r.DestinationCidrBlock) + aws.ToString(r.DestinationIpv6CidrBlock))
	return prefix.Masked(), err == nil
}

// trouble is why a route carries nothing, in AWS's words.
func trouble(r types.Route) string {
	if r.State == types.RouteStateBlackhole || r.State == types.RouteStateFiltered {
		return string(r.State)
	}
	return ""
}

// foreign says to what a route goes that no router may take over. A network interface, whosever,
// may be taken over in a table with the mark, and so may what goes nowhere any more.
func foreign(r types.Route) string {
	switch r.Origin {
	case types.RouteOriginEnableVgwRoutePropagation:
		return "the virtual private gateway " + aws.ToString(r.GatewayId) + ", which has propagated it"
	case types.RouteOriginAdvertisement:
		return "where a VPC route server has pointed it"
	}
	for _, target := range []struct {
		what string
		id   *string
	}{
		{"the transit gateway", r.TransitGatewayId},
		{"the peering", r.VpcPeeringConnectionId},
		{"the NAT gateway", r.NatGatewayId},
		{"the core network", r.CoreNetworkArn},
		{"the ODB network", r.OdbNetworkArn},
		{"the local gateway", r.LocalGatewayId},
		{"the carrier gateway", r.CarrierGatewayId},
		{"the egress-only gateway", r.EgressOnlyInternetGatewayId},
		{"the gateway", r.GatewayId}, // also local, and endpoints
	} {
		if id := aws.ToString(target.id); id != "" {
			return cloud.Line(target.what + " " + id)
		}
	}
	switch {
	case aws.ToString(r.NetworkInterfaceId) != "" || r.State == types.RouteStateBlackhole:
		return ""
	case aws.ToString(r.InstanceId) != "":
		return "the instance " + aws.ToString(r.InstanceId) + " without an interface"
	}
	return "what this module does not know"
}

// notes says which managed prefix lists take parts of the wanted prefixes. Each entry is a
// route: a more specific one goes before ours, and an equal one after it, as after any static
// route: https://docs.aws.amazon.com/vpc/latest/userguide/route-tables-priority.html. Those of
// gateway endpoints hold AWS's own addresses. A list that cannot be read is said, and ends it.
func (r *Routes) notes(ctx context.Context, w route.Want, tables []types.RouteTable) {
	known := map[string][]netip.Prefix{}
	order.By(tables, func(a, b types.RouteTable) int {
		return strings.Compare(*a.RouteTableId, *b.RouteTableId)
	})
	for _, t := range tables {
		order.By(t.Routes, func(a, b types.Route) int {
			return strings.Compare(aws.ToString(a.DestinationPrefixListId), aws.ToString(b.DestinationPrefixListId))
		})
		for _, each := range t.Routes {
			list := cloud.Line(aws.ToString(each.DestinationPrefixListId))
			if list == "" || strings.HasPrefix(aws.ToString(each.GatewayId), "vpce-") {
				continue
			}
			entries, ok := known[list]
			if !ok {
				var err error
				entries, err = r.entries(ctx, list, *t.RouteTableId+": prefix lists such as "+list+
					", which may hold parts of `prefixes`, are not looked into: ec2:GetManagedPrefixListEntries")
				if err != nil {
					w.Note(err.Error())
					return
				}
				known[list] = entries
			}
			if parts := parts(entries, w.Prefixes, t.Routes); parts != "" {
				w.Note(fmt.Sprintf("%s: the prefix list %s sends %s to %s, before our route and also when that moves: "+
					"AWS takes the more specific one; take such entries out of the list",
					*t.RouteTableId, list, parts, target(each)))
			}
		}
	}
}

// parts are those entries, in words, that are a part of a wanted prefix and have no static
// route for the same beside them.
func parts(entries, wanted []netip.Prefix, beside []types.Route) (words string) {
	n := 0
	for _, e := range entries {
		i := slices.IndexFunc(wanted, func(p netip.Prefix) bool { return p.Bits() < e.Bits() && p.Contains(e.Addr()) })
		if i < 0 || slices.Contains(wanted, e) || slices.ContainsFunc(beside, func(r types.Route) bool {
			p, ok := network(r)
			return ok && p == e && r.Origin != types.RouteOriginEnableVgwRoutePropagation &&
				r.Origin != types.RouteOriginAdvertisement
		}) {
			continue
		}
		if n++; n == 1 {
			words = fmt.Sprintf("%s of %s", e, wanted[i])
		}
	}
	if n > 1 {
		words += fmt.Sprintf(" and %d more", n-1)
	}
	return words
}

// target is where a route goes, in words.
func target(r types.Route) string {
	to := cloud.Line(cmp.Or(foreign(r), aws.ToString(r.NetworkInterfaceId), "nothing"))
	if why := trouble(r); why != "" {
		to += " (" + why + ")"
	}
	return to
}

// entries reads a list, in order. It is tried a few times, also where it is throttled: no route waits for it.
func (r *Routes) entries(ctx context.Context, list, do string) (all []netip.Prefix, err error) {
	in := &ec2.GetManagedPrefixListEntriesInput{PrefixListId: &list}
	for {
		var out *ec2.GetManagedPrefixListEntriesOutput
		err := r.pace.Try(ctx, r.renew, func(ctx context.Context) (err error) {
			if out, err = r.list(ctx, in); err == nil {
				return nil
			}
			e := explain(do, err)
			if e.Kind == cloud.Throttled {
				e.Kind = cloud.Broken
			}
			if e.Denied {
				e.RequestID = "" // Ansible shows once what is said in the same words
			}
			return e
		})
		if err != nil {
			return nil, err
		}
		for _, e := range out.Entries {
			if prefix, err := netip.ParsePrefix(aws.ToString(e.Cidr)); err == nil {
				all = append(all, prefix.Masked())
			}
		}
		if aws.ToString(out.NextToken) == "" {
			order.By(all, netip.Prefix.Compare)
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}
