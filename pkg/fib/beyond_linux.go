package fib

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/rtnl"
)

// Diverts says which policy of IPsec takes packets between two networks, or drops
// them; empty: none does. A policy for one protocol or mark is left out.
func (t Tables) Diverts(in string, src, dst netip.Prefix) string {
	for _, p := range t.policies {
		if p.Dir == netlink.XFRM_DIR_IN || p.Dir == netlink.XFRM_DIR_FWD &&
			p.Action == netlink.XFRM_POLICY_ALLOW && len(p.Tmpls) == 0 ||
			p.Dir == netlink.XFRM_DIR_FWD && in == "" || p.Proto != 0 || p.Mark != nil ||
			!covers(p.Src, src) || !covers(p.Dst, dst) {
			continue
		}
		if p.Action == netlink.XFRM_POLICY_BLOCK || len(p.Tmpls) > 0 {
			return fmt.Sprintf("%s to %s (%s)", p.Src, p.Dst, p.Dir)
		}
		return "" // the kernel takes the first one
	}
	return ""
}

func covers(n *net.IPNet, p netip.Prefix) bool {
	if n == nil {
		return true
	}
	ones, bits := n.Mask.Size()
	return bits == p.Addr().BitLen() && ones <= p.Bits() && n.Contains(p.Addr().AsSlice())
}

// readPolicies copies the policies of IPsec. A kernel without it has none.
func readPolicies() ([]netlink.XfrmPolicy, error) {
	policies, err := rtnl.Dump(func() ([]netlink.XfrmPolicy, error) {
		return netlink.XfrmPolicyList(netlink.FAMILY_ALL)
	})
	if err != nil && !errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, fmt.Errorf("IPsec: %w", err)
	}
	return policies, nil
}

// Programs lists what may drop or divert packets on an interface before or behind all
// filters: programs (XDP, BPF), classifiers of tc, and losses that netem plays.
func Programs(device string) (out []string, err error) {
	link, err := netlink.LinkByName(device)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	if x := link.Attrs().Xdp; x != nil && x.Attached {
		out = append(out, fmt.Sprintf("an XDP program (id %d) on %s", x.ProgId, device))
	}
	for _, side := range []struct {
		parent uint32
		name   string
	}{{netlink.HANDLE_MIN_INGRESS, "ingress"}, {netlink.HANDLE_MIN_EGRESS, "egress"}} {
		kinds, later := control(unix.RTM_GETTFILTER, link.Attrs().Index, side.parent)
		if err = cmp.Or(err, later); len(kinds) > 0 {
			out = append(out, fmt.Sprintf("a tc filter (%s) at %s of %s", kinds[0], side.name, device))
		}
	}
	kinds, later := control(unix.RTM_GETQDISC, link.Attrs().Index, 0)
	if slices.Contains(kinds, "netem") {
		out = append(out, "netem on "+device)
	}
	return out, cmp.Or(err, later)
}

// control lists the kinds of classifiers or disciplines of tc on an interface. A kernel without tc, or where
// the interface went away, has none. The library reads all that each of them has, for which it needs much code.
func control(what, index int, parent uint32) (kinds []string, err error) {
	req := nl.NewNetlinkRequest(what, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Parent: parent})
	messages, err := rtnl.Dump(func() ([][]byte, error) { return req.Execute(unix.NETLINK_ROUTE, 0) })
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("tc: %w", err)
	}
	for _, m := range messages {
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofTcMsg:])
		if err != nil {
			return nil, fmt.Errorf("tc: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == nl.TCA_KIND && int(nl.DeserializeTcMsg(m).Ifindex) == index {
				kinds = append(kinds, unix.ByteSliceToString(a.Value))
			}
		}
	}
	return kinds, nil
}
