package floor

import (
	"context"
	"errors"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/rtnl"
)

// priority has our rule come right before that of the table main, behind everybody's.
const priority = 32765

// dumpRules finds ours: it is about all that the host itself sends, which to the kernel
// comes by lo. A kernel without IPv6, or rules, has none.
func dumpRules(family int) (out []Route, err error) {
	list, err := rtnl.Dump(func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	for i := range list {
		if r := &list[i]; r.Table == plan.OutsideTable && r.IifName == "lo" && r.Priority == priority {
			all := netip.IPv6Unspecified()
			if family == netlink.FAMILY_V4 {
				all = netip.IPv4Unspecified()
			}
			return []Route{{netip.PrefixFrom(all, 0), true}}, nil
		}
	}
	return nil, err
}

// rule adds it or deletes it, with ip, as at boot.
func (r Route) rule(do string) error {
	return r.ip("rule", do, "iif", "lo", "priority", strconv.Itoa(priority))
}

func (r Route) ip(words ...string) error {
	if !r.Network.Addr().Is4() {
		words = append([]string{"-6"}, words...)
	}
	words = append(words, "table", strconv.Itoa(plan.OutsideTable))
	_, err := program.Run(context.Background(), "ip", words...)
	return err
}
