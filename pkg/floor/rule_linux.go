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

// ownRule is about what the host itself sends: to the kernel that comes by lo.
func ownRule(family int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Table, r.Priority, r.IifName = family, plan.OutsideTable, priority, "lo"
	return r
}

func right(r netlink.Rule) bool {
	r.Protocol = 0 // the script's has one
	return r == *ownRule(r.Family)
}

// dumpRules lists the rules that lead to our table. A kernel without IPv6, or rules, has none.
func dumpRules(family int) ([]netlink.Rule, error) {
	rules, err := rtnl.Dump(func() ([]netlink.Rule, error) {
		return netlink.RuleListFiltered(family, &netlink.Rule{Table: plan.OutsideTable}, netlink.RT_FILTER_TABLE)
	})
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	return rules, err
}

func observeRules(family int) (out []Route, err error) {
	rules, err := dumpRules(family)
	for _, r := range rules {
		all := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if family == netlink.FAMILY_V4 {
			all = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		out = append(out, Route{all, right(r)})
	}
	return out, err
}

// removeRule takes rules away, and with the right one what BIRD has left in the table.
func removeRule(r Route) error {
	rules, err := dumpRules(r.family())
	for i := range rules {
		if err == nil && right(rules[i]) == r.Right {
			err = netlink.RuleDel(&rules[i])
		}
	}
	if err != nil || !r.Right {
		return err
	}
	filter := &netlink.Route{Table: plan.OutsideTable}
	routes, err := rtnl.Dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(r.family(), filter, netlink.RT_FILTER_TABLE)
	})
	for i := range routes {
		if err == nil {
			err = netlink.RouteDel(&routes[i])
		}
	}
	return err
}
