package aws

import (
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
				Hint: "is the id right, is it this account, was it deleted?",
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
			return fmt.Errorf("%s: its tag %s is %q, not %q: it belongs to another mesh", id,
				route.Mark, aws.ToString(t.Value), mesh)
		}
	}
	return fmt.Errorf("%s: it has no tag %s: where the table is made, tag it with %s=%s, "+
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

// foreign says to what a route goes that no router may take over. A network
// interface, whosever, may be taken over in a table with the mark, and so may
// what goes nowhere any more.
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
