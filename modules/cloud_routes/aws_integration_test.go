//go:build integration

package cloudroutes_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/moto"
)

// items are the routes of a table as moto shows them, by destination.
func items(t *testing.T, m moto.Server, table string) map[string]string {
	t.Helper()
	answer := m.Call(t, "ec2", "Action", "DescribeRouteTables", "RouteTableId.1", table)
	set := regexp.MustCompile(`(?s)<routeSet>(.*?)</routeSet>`).FindStringSubmatch(answer)
	require.NotNil(t, set, answer)
	out := map[string]string{}
	for _, item := range regexp.MustCompile(`(?s)<item>(.*?)</item>`).FindAllStringSubmatch(set[1], -1) {
		destination := regexp.MustCompile(
			`<destination(?:Ipv6CidrBlock|CidrBlock|PrefixListId)>([^<]*)<`).FindStringSubmatch(item[1])
		require.NotNil(t, destination, item[1])
		out[destination[1]] = item[1]
	}
	return out
}

// Two route tables of a VPC, two routers' interfaces, a route that is nobody's to move, by moto.
func TestAWSByMoto(t *testing.T) {
	f := newAWS(t) // for its environment and metadata service
	m := moto.Start(t, "../../build/venv-moto", "cn-north-1")
	subnets := m.Call(t, "ec2", "Action", "DescribeSubnets")
	subnet, vpc := moto.Pick(t, subnets, "subnetId"), moto.Pick(t, subnets, "vpcId")
	eni := func() string {
		return m.Ask(t, "networkInterfaceId", "Action", "CreateNetworkInterface", "SubnetId", subnet)
	}
	us, them := eni(), eni()
	table := func() string { return m.Ask(t, "routeTableId", "Action", "CreateRouteTable", "VpcId", vpc) }
	ours, bare := table(), table()
	m.Call(t, "ec2", "Action", "CreateTags", "ResourceId.1", ours, "Tag.1.Key", "wgmesh.router",
		"Tag.1.Value", "example")
	route := func(destination string) {
		m.Call(t, "ec2", "Action", "CreateRoute", "RouteTableId", ours, "DestinationCidrBlock",
			destination, "NetworkInterfaceId", them)
	}
	route("10.0.0.0/16")
	route("10.99.0.0/16")
	list := m.Ask(t, "prefixListId", "Action", "CreateManagedPrefixList", "PrefixListName", "office", "MaxEntries", "9",
		"AddressFamily", "IPv4", "Entry.1.Cidr", "10.2.0.0/16", "Entry.2.Cidr", "10.2.3.0/24")
	gateway := m.Ask(t, "transitGatewayId", "Action", "CreateTransitGateway")
	m.Call(t, "ec2", "Action", "CreateRoute", "RouteTableId", ours, "DestinationPrefixListId", list,
		"TransitGatewayId", gateway)
	before := items(t, m, ours)
	require.Contains(t, before, list)
	o := options{
		"via": us, "region": "cn-north-1", "mesh": "example", "tables": []string{ours},
		"prefixes":     []string{"10.0.0.0/16", "10.2.0.0/16", "2001:db8::/32"},
		"api_endpoint": m.URL, "metadata_endpoint": f.IMDS.URL, "timeout": 120,
	}

	t.Run("a reader", func(t *testing.T) {
		m.User(t, "reader", `"ec2:DescribeRouteTables"`)
		m.Enforce(t, true)
		defer m.Enforce(t, false)
		warnings := task.Succeeds(t, o.And(check))["warnings"]
		require.Len(t, warnings, 3, "one of each kind") // 10.2.0.0/16 stands for 2001:db8::/32
		assert.Contains(t, warnings.([]any)[0], ours+": prefix lists such as "+list)
		for i, missing := range []string{"GetManagedPrefixListEntries", "ReplaceRoute", "CreateRoute"} {
			assert.Contains(t, warnings.([]any)[i], "the permission ec2:"+missing+" is missing")
		}
		assert.Contains(t, task.FailsUnchanged(t, o), "the permission ec2:CreateRoute is missing")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		assert.Contains(t, task.Fails(t, o), "AWS does not accept the credentials")
	})
	assert.Equal(t, before, items(t, m, ours))

	t.Run("a router", func(t *testing.T) {
		m.User(t, "router", `"ec2:DescribeRouteTables", "ec2:GetManagedPrefixListEntries",
			"ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute"`)
		m.Enforce(t, true)
		defer m.Enforce(t, false)
		// Not in check mode: moto does not know DryRun for routes and would write.
		result := task.Succeeds(t, o)
		assert.Equal(t, true, result["verified"])
		assert.Equal(t, []any{
			ours + ": 10.0.0.0/16: goes to " + us + " now, before to " + them,
			ours + ": 10.2.0.0/16: goes to " + us + " now", ours + ": 2001:db8::/32: goes to " + us + " now",
		}, result["done"])
		require.Len(t, result["warnings"], 1)
		assert.Contains(t, result["warnings"].([]any)[0],
			ours+": the prefix list "+list+" sends 10.2.3.0/24 of 10.2.0.0/16 to the transit gateway "+gateway+", ")
		task.Unchanged(t, o)
		assert.Contains(t, task.Fails(t, o.And(options{"tables": []string{bare}})),
			bare+": it has no tag wgmesh.router")
		assert.Contains(t, task.Fails(t, o.And(options{"tables": []string{"rtb-0000000000000gone"}})),
			"InvalidRouteTableID.NotFound")
	})
	after := items(t, m, ours)
	assert.Len(t, after, len(before)+2)
	for destination, item := range before {
		if destination != "10.0.0.0/16" {
			assert.Equal(t, item, after[destination])
		}
	}

	t.Run("and away", func(t *testing.T) {
		m.User(t, "leaver", `"ec2:DescribeRouteTables", "ec2:DeleteRoute"`)
		m.Enforce(t, true)
		defer m.Enforce(t, false)
		assert.Len(t, task.Succeeds(t, o.And(absent))["done"], 3)
		task.Unchanged(t, o.And(absent))
	})
	delete(before, "10.0.0.0/16")
	assert.Equal(t, before, items(t, m, ours))
}
