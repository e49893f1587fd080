package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
	"github.com/wgmesh/router/pkg/order"
)

// mostPages bounds a list. A page has up to 500 routes, a network some hundred.
const mostPages = 200

// Observe lists the routes of the networks' projects.
func (r *Routes) Observe(ctx context.Context, w route.Want) ([]route.Route, error) {
	tables := map[string]map[string]string{} // by project and path of the network
	for _, table := range w.Tables {
		project, path, err := r.network(table)
		if err != nil {
			return nil, err
		}
		if tables[project] == nil {
			tables[project] = map[string]string{}
		}
		tables[project][path] = table
	}
	var have []route.Route
	for project, networks := range tables {
		all, err := r.list(ctx, project)
		if err == nil && project != r.router.project {
			err = r.readEnds(ctx)
		}
		if err != nil {
			return nil, err
		}
		for _, each := range all {
			prefix, err := netip.ParsePrefix(each.Prefix)
			if table := networks[partial(each.Network)]; err == nil && table != "" {
				if r.owns(each) {
					each.Instance = r.Via()
				}
				if one := each.route(w, table, prefix.Masked()); w.Covers(one) {
					have = append(have, one)
				}
			}
		}
	}
	order.By(have, route.Compare)
	return have, nil
}

type listed struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Network     string `json:"network"`
	Prefix      string `json:"destRange"`
	Priority    int    `json:"priority"`
	Status      string `json:"routeStatus"`
	Instance    string `json:"nextHopInstance"`
	Address     string `json:"nextHopIp"`
	Subnet      string `json:"nextHopNetwork"`
	Gateway     string `json:"nextHopGateway"`
	Peering     string `json:"nextHopPeering"`
	Balancer    string `json:"nextHopIlb"`
	Tunnel      string `json:"nextHopVpnTunnel"`
	Hub         string `json:"nextHopHub"`
	Warnings    []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"warnings"`
}

func (r *Routes) list(ctx context.Context, project string) ([]listed, error) {
	do := project + ": list the routes"
	var out []listed
	var page struct {
		Items []listed `json:"items"`
		Next  string   `json:"nextPageToken"`
	}
	for range mostPages {
		from := r.url(project) + "/routes?maxResults=500&pageToken=" + url.QueryEscape(page.Next)
		page.Items, page.Next = nil, ""
		if err := r.router.rest.Get(ctx, do, from, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if page.Next == "" {
			return out, nil
		}
	}
	return nil, &cloud.Error{Do: do, Err: errors.New("the list has no end")}
}

// route is what a route means for us. Ours has the mesh's name in its name and
// its description: mesh "a" shall not take "a-b" for its own.
func (l listed) route(w route.Want, table string, prefix netip.Prefix) route.Route {
	out := route.Route{
		Table: table, Prefix: prefix, Via: cloud.Line(partial(l.Instance)),
		Priority: l.Priority, Name: cloud.Line(l.Name), Trouble: l.trouble(),
	}
	ours := strings.HasPrefix(l.Name, names(w.Mesh)) && l.Description == description(w.Mesh) &&
		words.MatchString(l.Name) && cmp.Or(l.Instance, l.Address) != ""
	switch {
	case ours && l.Instance == "":
		out.Via = cloud.Line(l.Address)
	case !ours:
		out.Foreign = l.next() + " by the route " + out.Name
		out.Via = l.next()
	}
	out.Beside = ours && out.Via != w.Via
	return out
}

func (l listed) trouble() string {
	if len(l.Warnings) > 0 {
		return cloud.Line(l.Warnings[0].Code + ": " + l.Warnings[0].Message)
	}
	if l.Status == "DROPPED" || l.Status == "INACTIVE" {
		return "its status is " + l.Status
	}
	return ""
}

// next says in words where a route goes.
func (l listed) next() string {
	for _, each := range [][2]string{
		{"", l.Instance},
		{"the peering ", l.Peering},
		{"the gateway ", l.Gateway},
		{"the load balancer ", l.Balancer},
		{"the VPN tunnel ", l.Tunnel},
		{"the hub ", l.Hub},
		{"the address ", l.Address},
		{"the subnet of ", l.Subnet},
	} {
		if each[1] != "" {
			return cloud.Line(each[0] + partial(each[1]))
		}
	}
	return "what this module does not know"
}

// partial is the end of a URL, which is the same in every universe.
func partial(link string) string {
	if i := strings.Index(link, "/projects/"); i >= 0 && strings.Contains(link[:i], "://") {
		return link[i+1:]
	}
	return link
}

// In a Shared VPC the network belongs to another project than the router. Google takes
// an instance as a next hop only in the project of the route; there it is the address
// that the router has in the network.

type end struct {
	Network  string `json:"network"`
	Address  string `json:"networkIP"`
	Address6 string `json:"ipv6Address"` // internal
	Public6  []struct {
		Address string `json:"externalIpv6"`
	} `json:"ipv6AccessConfigs"`
}

// address is the one for routes of a family, "" for none.
func (e end) address(is6 bool) string {
	switch {
	case !is6:
		return e.Address
	case e.Address6 == "" && len(e.Public6) > 0:
		return e.Public6[0].Address
	}
	return e.Address6
}

// readEnds asks for the router's interfaces, once.
func (r *Routes) readEnds(ctx context.Context) error {
	if r.ends != nil {
		return nil
	}
	v, err := r.router.read(ctx)
	if err != nil {
		return err
	}
	r.ends = []end{}
	return cloud.Answer{Body: v.whole["networkInterfaces"]}.Decode(r.router.Instance()+": networkInterfaces", &r.ends)
}

func (r *Routes) owns(l listed) bool {
	a, err := netip.ParseAddr(l.Address)
	if err != nil || l.Instance != "" {
		return false
	}
	for _, e := range r.ends {
		own, err := netip.ParseAddr(e.address(a.Is6()))
		if err == nil && own == a && partial(e.Network) == partial(l.Network) {
			return true
		}
	}
	return false
}

// hop is the field of a route that says where it goes, and what is in it.
func (r *Routes) hop(ctx context.Context, n route.Route) (field, value string, err error) {
	project, network, err := r.network(n.Table)
	if err != nil || project == r.router.project {
		return "nextHopInstance", n.Via, err
	}
	if err := r.readEnds(ctx); err != nil {
		return "", "", err
	}
	for _, e := range r.ends {
		if a := e.address(n.Prefix.Addr().Is6()); partial(e.Network) == network && a != "" {
			return "nextHopIp", a, nil
		}
	}
	return "", "", fmt.Errorf("%s: %s: the router %s has no address of that family in this network: "+
		"a route of another project goes to an address there", n.Table, n.Prefix, r.router.Instance())
}
