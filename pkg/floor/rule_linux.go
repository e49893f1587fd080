package floor

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/rtnl"
)

// priority has our rule come right before that of the table main, behind everybody's.
const priority = 32765

func (r Route) family() int {
	if r.Network.Addr().Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// addRule adds what is about all that the host itself sends: to the kernel that comes by lo.
func addRule(r Route) error {
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.Priority, rule.IifName = r.family(), plan.OutsideTable, priority, "lo"
	return netlink.RuleAdd(rule)
}

// rules lists those that lead to our table. A kernel without IPv6, or rules, has none.
func rules(family int) (list []netlink.Rule, out []Route, err error) {
	list, err = rtnl.Dump(func() ([]netlink.Rule, error) {
		return netlink.RuleListFiltered(family, &netlink.Rule{Table: plan.OutsideTable}, netlink.RT_FILTER_TABLE)
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil, nil
	}
	all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	if family == netlink.FAMILY_V4 {
		all = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	for i := range list {
		r := &list[i]
		right := r.IifName == "lo" && r.Priority == priority && r.Src == nil && r.Dst == nil
		out = append(out, Route{all, right})
	}
	return list, out, err
}

// removeRule takes rules away, and with the right one what BIRD has left in the table.
func removeRule(r Route) error {
	list, are, err := rules(r.family())
	for i := range list {
		if err == nil && are[i] == r {
			err = netlink.RuleDel(&list[i])
		}
	}
	if err != nil || !r.Right {
		return err
	}
	routes, err := dump(r.family(), &netlink.Route{Table: plan.OutsideTable}, netlink.RT_FILTER_TABLE)
	for i := range routes {
		if err == nil {
			err = netlink.RouteDel(&routes[i])
		}
	}
	return err
}
