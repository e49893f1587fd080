package gcp

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

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
