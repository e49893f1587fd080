package aws_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud/fuzz"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// Whatever EC2 answers, what comes out is about the wanted prefixes of a table
// with the mark, or is an error on one line.
func FuzzRouteTables(f *testing.F) {
	table := func(tag, routes string) string {
		return `<DescribeRouteTablesResponse><routeTableSet><item><routeTableId>rtb-1</routeTableId><routeSet>` +
			routes + `</routeSet><tagSet>` + tag + `</tagSet></item></routeTableSet></DescribeRouteTablesResponse>`
	}
	mark := `<item><key>wgmesh.router</key><value>m</value></item>`
	item := `<item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock>` +
		`<networkInterfaceId>eni-1</networkInterfaceId><state>active</state></item>`
	f.Add(table(mark, item), false)
	f.Add(table(mark, strings.ReplaceAll(item, "networkInterfaceId", "transitGatewayId")+item), false)
	f.Add(table(mark, `<item><destinationIpv6CidrBlock>2001:DB8:0::/32</destinationIpv6CidrBlock>`+
		`<gatewayId>a&#10;b</gatewayId></item>`), false)
	f.Add(table(mark, `<item><destinationCidrBlock>10.0.0.1/16</destinationCidrBlock></item><item/>`), false)
	f.Add(table(`<item><key>wgmesh.router</key><value>x&#10;y</value></item>`, item), false)
	f.Add(table("", ""), false)
	f.Add(strings.Replace(
		table(mark, `<item><destinationPrefixListId>pl-&#10;1</destinationPrefixListId>`+
			`<gatewayId>a&#10;b</gatewayId></item>`),
		"<routeTableSet>",
		`<entrySet><item><cidr>10.0.3.1/24</cidr></item><item><cidr/></item></entrySet><routeTableSet>`, 1), false)
	f.Add(`<Response><Errors><Error><Code>RouteAlreadyExists</Code><Message>a&#10;b</Message></Error></Errors>`+
		`<RequestID>r</RequestID></Response>`, true)
	f.Add(`<html>proxy</html>`, true)
	a := serve(f)
	tables, err := aws.ConnectRoutes(f.Context(), aws.RouteOptions{
		Via: "eni-1", Region: "eu-west-1", API: a.url, Metadata: a.url, Pace: fuzz.Quick,
	})
	assert.NoError(f, err)
	want := route.Want{
		Mesh: "m", Tables: []string{"rtb-1"},
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("2001:db8::/32")},
		Via:      "eni-1",
	}
	a.run(f, func(ctx context.Context, t *testing.T, answer string) {
		for _, c := range []route.Change{
			{New: &route.Route{Prefix: want.Prefixes[0]}}, {Old: &route.Route{Prefix: want.Prefixes[1]}},
		} {
			_, err := tables.Write(ctx, want, c)
			fuzz.Failed(t, err)
		}
		want.Note = func(note string) { assert.NotContains(t, note, "\n") }
		have, err := tables.Observe(ctx, want)
		if fuzz.Failed(t, err) {
			return
		}
		assert.Contains(t, answer, "wgmesh.router")
		fuzz.Wanted(t, want, have)
		delta, _ := route.Diff(want, have)
		for _, c := range delta {
			assert.True(t, want.Covers(*c.New))
		}
	})
}
