package floor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/rtnl"
)

// takesIPv6 reports whether the kernel has IPv6 and the interface that unreachable
// routes hang on has it too. Where it has not, nothing leaves by IPv6 either.
// Where that cannot be read, the routes are tried, which says what is wrong.
func takesIPv6(root string) bool {
	text, err := os.ReadFile(filepath.Join(root, "proc/sys/net/ipv6/conf/lo/disable_ipv6"))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return bytes.Equal(bytes.TrimSpace(text), []byte("0"))
}

// Possible leaves out the networks that this kernel can neither refuse nor send to.
func Possible(networks []netip.Prefix) []netip.Prefix {
	six := takesIPv6("/")
	return slices.DeleteFunc(slices.Clone(networks), func(n netip.Prefix) bool { return !six && n.Addr().Is6() })
}

// observe lists the routes with our number in the main table.
func observe() ([]Route, error) {
	var out []Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := dump(family)
		if err != nil {
			return nil, fmt.Errorf("routes of the kernel: %w", err)
		}
		for _, r := range routes {
			if n, ok := rtnl.Prefix(r.Dst); ok && n.Bits() > 0 {
				out = append(out, Route{n, r.Type == unix.RTN_UNREACHABLE && r.Priority == Metric})
			}
		}
		more, err := dumpRules(family)
		if err != nil {
			return nil, fmt.Errorf("rules of the kernel: %w", err)
		}
		out = append(out, more...)
	}
	order.By(out, func(a, b Route) int { return a.Network.Compare(b.Network) })
	return out, nil
}

func dump(family int) ([]netlink.Route, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, Protocol: Protocol}
	return rtnl.Dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
	})
}

func wanted(n netip.Prefix) *netlink.Route {
	return &netlink.Route{
		Dst:   &net.IPNet{IP: n.Addr().AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen())},
		Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNREACHABLE, Protocol: Protocol, Priority: Metric,
	}
}

func add(r Route) error {
	if r.isRule() {
		return r.rule("add")
	}
	return netlink.RouteReplace(wanted(r.Network))
}

// remove takes away what has our number, in whatever form somebody left it.
func remove(r Route) error {
	if r.isRule() {
		err := r.rule("del")
		_ = r.ip("route", "flush") // what BIRD left there, if anything
		return err
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := dump(family)
		if err != nil {
			return err
		}
		for _, have := range routes {
			n, ok := rtnl.Prefix(have.Dst)
			right := have.Type == unix.RTN_UNREACHABLE && have.Priority == Metric
			if !ok || n != r.Network || right != r.Right {
				continue
			}
			if err := netlink.RouteDel(&have); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

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
