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
