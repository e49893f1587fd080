package aws

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// RouteOptions say for which router, and how to reach AWS.
type RouteOptions struct {
	Via    string // a network interface; "" for this machine's first one, with the role of its instance profile
	Region string // with Via; "" for what the environment or profile says
	cloud.Way
}

// Routes are the route tables of one region. Like an Instance it has calls, and not the client.
type Routes struct {
	via, region string
	pace        cloud.Pace
	renew       func()
	describe    call[ec2.DescribeRouteTablesInput, ec2.DescribeRouteTablesOutput]
	list        call[ec2.GetManagedPrefixListEntriesInput, ec2.GetManagedPrefixListEntriesOutput]
	create      call[ec2.CreateRouteInput, ec2.CreateRouteOutput]
	replace     call[ec2.ReplaceRouteInput, ec2.ReplaceRouteOutput]
	remove      call[ec2.DeleteRouteInput, ec2.DeleteRouteOutput]
}

// ConnectRoutes finds this machine's first network interface and its region from the metadata
// service, and takes the machine's role; or, for an interface that was named, what the environment
// has for AWS's own tools. What it returns can be used by several goroutines at once.
func ConnectRoutes(ctx context.Context, o RouteOptions) (route.Tables, error) {
	w := way{Way: o.Way, region: o.Region}
	if o.Via == "" {
		m := metadata(o.Way)
		mac, err := get(ctx, m, "mac")
		if err != nil {
			return nil, err
		}
		if o.Via, err = get(ctx, m, "network/interfaces/macs/"+mac+"/interface-id"); err != nil {
			return nil, err
		}
		if err := w.own(ctx, m); err != nil {
			return nil, err
		}
	}
	api, region, renew, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Routes{
		via: o.Via, region: region, pace: o.Pace, renew: renew,
		describe: api.DescribeRouteTables, list: api.GetManagedPrefixListEntries,
		create: api.CreateRoute, replace: api.ReplaceRoute, remove: api.DeleteRoute,
	}, nil
}

// Via is the network interface.
func (r *Routes) Via() string { return r.via }

// Rehearse asks with DryRun, which checks permissions and changes nothing.
func (r *Routes) Rehearse(ctx context.Context, _ route.Want, c route.Change) error {
	err := r.ask(ctx, c, true)
	if code(err) == "DryRunOperation" {
		return nil
	}
	return err
}

// Write makes the change and does not wait until it reads so. To replace a route takes its packets
// from one router to the other at once; there is no moment without a route.
func (r *Routes) Write(ctx context.Context, _ route.Want, c route.Change) (changed bool, err error) {
	err = r.ask(ctx, c, false)
	if e, ok := errors.AsType[*cloud.Error](err); ok && moved(c, e) {
		e.Kind = cloud.Race
	}
	return err == nil || cloud.Unsure(err), err
}

// moved reports whether an error means that the table is no longer as it was read.
func moved(c route.Change, e *cloud.Error) bool {
	switch e.Code {
	case "RouteAlreadyExists":
		return c.Old == nil
	case "InvalidRoute.NotFound":
		return c.Old != nil
	case "InvalidParameterValue": // what ReplaceRoute says in place of NotFound
		return c.Old != nil && strings.Contains(e.Message, "no route defined for")
	}
	return false
}

func (r *Routes) ask(ctx context.Context, c route.Change, dry bool) error {
	to := cmp.Or(c.New, c.Old)
	v4, v6 := destination(*to)
	return r.pace.Try(ctx, r.renew, func(ctx context.Context) error {
		switch {
		case c.New == nil:
			_, err := r.remove(ctx, &ec2.DeleteRouteInput{
				RouteTableId: &to.Table, DestinationCidrBlock: v4, DestinationIpv6CidrBlock: v6, DryRun: &dry,
			})
			return wrap(at(*to)+": ec2:DeleteRoute", err)
		case c.Old == nil:
			_, err := r.create(ctx, &ec2.CreateRouteInput{
				RouteTableId: &to.Table, DestinationCidrBlock: v4, DestinationIpv6CidrBlock: v6,
				NetworkInterfaceId: &to.Via, DryRun: &dry,
			})
			return wrap(at(*to)+": ec2:CreateRoute", err)
		default:
			_, err := r.replace(ctx, &ec2.ReplaceRouteInput{
				RouteTableId: &to.Table, DestinationCidrBlock: v4, DestinationIpv6CidrBlock: v6,
				NetworkInterfaceId: &to.Via, DryRun: &dry,
			})
			return wrap(at(*to)+": ec2:ReplaceRoute", err)
		}
	})
}

func at(r route.Route) string { return r.Table + ": " + r.Prefix.String() }

func destination(r route.Route) (v4, v6 *string) {
	if r.Prefix.Addr().Is4() {
		return aws.String(r.Prefix.String()), nil
	}
	return nil, aws.String(r.Prefix.String())
}
