package aws

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Table has tags, and static routes by destination: each the XML of the rest of it. What
// a virtual private gateway propagates stands beside them, also for the same destination.
type Table struct {
	Tags       map[string]string
	Routes     map[string]string
	Propagated []string // destinations
}

// Propagated is the rest of such a route.
const Propagated = `<gatewayId>vgw-1</gatewayId><origin>EnableVgwRoutePropagation</origin><state>active</state>`

// Via is a route to an interface, as EC2 shows it.
func Via(eni string) string {
	return `<networkInterfaceId>` + eni + `</networkInterfaceId><instanceId>i-of-` + eni +
		`</instanceId><instanceOwnerId>123456789012</instanceOwnerId><origin>CreateRoute</origin><state>active</state>`
}

// Local is the route of a VPC's own network.
const Local = `<gatewayId>local</gatewayId><origin>CreateRouteTable</origin><state>active</state>`

// Gateway is the route of a gateway endpoint, to the prefix list of its service.
const Gateway = `<gatewayId>vpce-1</gatewayId><origin>CreateRoute</origin><state>active</state>`

// Without is a copy of all tables without some of the routes.
func (c *Cloud) Without(destinations ...string) map[string]*Table {
	out := map[string]*Table{}
	for id, t := range c.Tables {
		out[id] = &Table{maps.Clone(t.Tags), maps.Clone(t.Routes), slices.Clone(t.Propagated)}
		for _, d := range destinations {
			delete(out[id].Routes, d)
		}
	}
	return out
}

func (c *Cloud) describeTables(w http.ResponseWriter, r *http.Request) {
	c.Reads++
	tables := c.Tables
	if len(c.stale) > 0 {
		tables, c.stale = c.stale[0], c.stale[1:]
	}
	var sets strings.Builder
	for i := 1; r.Form.Get(fmt.Sprint("RouteTableId.", i)) != ""; i++ {
		id := r.Form.Get(fmt.Sprint("RouteTableId.", i))
		t, found := tables[id]
		if !found {
			c.noTable(w, id)
			return
		}
		fmt.Fprintf(&sets, `<item><routeTableId>%s</routeTableId><vpcId>vpc-1</vpcId><fieldOfTomorrow/><routeSet>`, id)
		for _, d := range t.Propagated {
			fmt.Fprintf(&sets, `<item><%s>%s</%[1]s>%[3]s</item>`, field(d), d, Propagated)
		}
		for _, d := range slices.Sorted(maps.Keys(t.Routes)) {
			fmt.Fprintf(&sets, `<item><%s>%s</%[1]s>%[3]s</item>`, field(d), d, t.Routes[d])
		}
		sets.WriteString(`</routeSet><tagSet>`)
		for _, k := range slices.Sorted(maps.Keys(t.Tags)) {
			fmt.Fprintf(&sets, `<item><key>%s</key><value>%s</value></item>`, k, t.Tags[k])
		}
		sets.WriteString(`</tagSet></item>`)
	}
	fmt.Fprint(w, `<DescribeRouteTablesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">`+
		`<requestId>req-describe</requestId><routeTableSet>`+sets.String()+
		`</routeTableSet></DescribeRouteTablesResponse>`)
	if c.OnRead != nil {
		c.OnRead()
	}
}

func (c *Cloud) noTable(w http.ResponseWriter, id string) {
	c.refuse(w, 400, "InvalidRouteTableID.NotFound", "The routeTable ID '"+id+"' does not exist")
}

// field is where EC2 shows a destination.
func field(destination string) string {
	switch {
	case strings.HasPrefix(destination, "pl-"):
		return "destinationPrefixListId"
	case strings.Contains(destination, ":"):
		return "destinationIpv6CidrBlock"
	}
	return "destinationCidrBlock"
}

func (c *Cloud) route(w http.ResponseWriter, r *http.Request, action string) {
	id, d := r.Form.Get("RouteTableId"), r.Form.Get("DestinationCidrBlock")+r.Form.Get("DestinationIpv6CidrBlock")
	t, found := c.Tables[id]
	there := false
	if found {
		_, there = t.Routes[d]
	}
	eni := r.Form.Get("NetworkInterfaceId")
	switch {
	case !found:
		c.noTable(w, id)
	case (field(d) == "destinationIpv6CidrBlock") != r.Form.Has("DestinationIpv6CidrBlock"):
		c.refuse(w, 400, "InvalidParameterValue", "Value ("+d+") for parameter destinationCidrBlock is invalid.")
	case r.Form.Get("DryRun") == "true":
		c.dryRun(w)
	case action == "CreateRoute" && there:
		c.refuse(w, 400, "RouteAlreadyExists", "The route identified by "+d+" already exists.")
	case action == "ReplaceRoute" && !there:
		c.refuse(w, 400, "InvalidParameterValue",
			"There is no route defined for '"+d+"' in the route table. Use CreateRoute instead.")
	case action == "DeleteRoute" && !there:
		c.refuse(w, 400, "InvalidRoute.NotFound", "no route with destination-cidr-block "+d+" in route table "+id)
	case action != "DeleteRoute" && !strings.HasPrefix(eni, "eni-"):
		c.refuse(w, 400, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '"+eni+"' does not exist")
	default:
		before := c.Without()
		for range c.Lag {
			c.stale = append(c.stale, before)
		}
		if action == "DeleteRoute" {
			delete(t.Routes, d)
		} else {
			t.Routes[d] = Via(eni)
		}
		c.done(w, action, fmt.Sprintf("%s %s %s %s", action, id, d, eni))
	}
}

// listEntries shows the entries of a prefix list, two on a page.
func (c *Cloud) listEntries(w http.ResponseWriter, r *http.Request) {
	id := r.Form.Get("PrefixListId")
	entries, found := c.Lists[id]
	if !found {
		c.refuse(w, 400, "InvalidPrefixListID.NotFound", "The prefix list ID '"+id+"' does not exist")
		return
	}
	from, _ := strconv.Atoi(r.Form.Get("NextToken"))
	end := min(from+2, len(entries))
	fmt.Fprint(w, `<GetManagedPrefixListEntriesResponse`+head+`<entrySet>`)
	for _, cidr := range entries[from:end] {
		fmt.Fprintf(w, `<item><cidr>%s</cidr><description>x</description></item>`, cidr)
	}
	fmt.Fprint(w, `</entrySet>`)
	if end < len(entries) {
		fmt.Fprintf(w, `<nextToken>%d</nextToken>`, end)
	}
	fmt.Fprint(w, `</GetManagedPrefixListEntriesResponse>`)
}
