package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/rtnl"
	"github.com/wgmesh/router/pkg/socket"
)

// A Peer is the other end of a tunnel as WireGuard sees it.
type Peer struct {
	Key       plan.PublicKey
	Endpoint  netip.AddrPort // of its last packet; not valid when unknown
	Handshake time.Time      // of the last one; zero if there was none
	Keepalive time.Duration
	Rx, Tx    int64 // bytes
	PSK       bool
	Allowed   []net.IPNet // what WireGuard sends to it, and takes from it
}

// A Device is a WireGuard interface.
type Device struct {
	// Own is the public half of its private key, which all tunnels of a router have.
	Own  plan.PublicKey
	Port int
	MTU  int
	Down bool // somebody set it so: it sends and takes nothing
	// Peer is nil while the interface has none for the tunnel.
	Peer  *Peer
	Peers int // how many it has in all
	// Others are the allowed IPs of all other peers. What is in one goes to that peer,
	// and not to this one with a wider network.
	Others []netip.Prefix
}

// observeDevice reads a tunnel's interface. It never lists devices: userspace
// ones of other network namespaces would be among them.
func observeDevice(t plan.StatusTunnel) (Device, error) {
	link, err := netlink.LinkByName(t.Name)
	if err != nil {
		return Device{}, err
	}
	dev, err := askWireGuard(t.Name)
	if err != nil {
		return Device{}, err
	}
	peer, others := peerFor(t.Address, dev.Peers)
	return Device{
		Own: plan.PublicKey(dev.PublicKey), Port: dev.ListenPort, MTU: link.Attrs().MTU,
		Down: link.Attrs().Flags&net.FlagUp == 0,
		Peer: peer, Peers: len(dev.Peers), Others: others,
	}, nil
}

// askWireGuard reads an interface. The error is fs.ErrNotExist where there is none.
func askWireGuard(name string) (*wgtypes.Device, error) {
	if err := socket.Hangs(name); err != nil {
		return nil, err
	}
	client, err := wgctrl.New()
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	dev, err := client.Device(name)
	if errors.Is(err, unix.ECONNREFUSED) { // the process is gone, its socket is not
		return nil, fs.ErrNotExist
	}
	return dev, err
}

// peerFor chooses the peer that may use address, the only one as a rule, and lists what
// others may use.
func peerFor(address netip.Addr, peers []wgtypes.Peer) (out *Peer, others []netip.Prefix) {
	i, best := -1, -1
	for n, p := range peers {
		for _, allowed := range p.AllowedIPs {
			if ones, _ := allowed.Mask.Size(); ones > best && allowed.Contains(address.AsSlice()) {
				i, best = n, ones
			}
		}
	}
	if i < 0 && len(peers) == 1 {
		i = 0
	}
	for n, p := range peers {
		for _, allowed := range p.AllowedIPs {
			if prefix, ok := rtnl.Prefix(&allowed); ok && n != i {
				others = append(others, prefix)
			}
		}
	}
	if i < 0 {
		return nil, others
	}
	p := peers[i]
	out = &Peer{
		Key: plan.PublicKey(p.PublicKey), Handshake: p.LastHandshakeTime, Keepalive: p.PersistentKeepaliveInterval,
		Rx: p.ReceiveBytes, Tx: p.TransmitBytes, PSK: p.PresharedKey != wgtypes.Key{},
		Allowed: p.AllowedIPs,
	}
	// The kernel's zero is 1970, Go's is year 1.
	if p.LastHandshakeTime.Unix() <= 0 {
		out.Handshake = time.Time{}
	}
	if p.Endpoint != nil {
		ap := p.Endpoint.AddrPort()
		out.Endpoint = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return out, others
}

// A Route is the best kernel route of a prefix.
type Route struct {
	// Devices are the outgoing interfaces, several with ECMP, sorted. Empty:
	// the route drops packets (blackhole, unreachable).
	Devices []string
	// Type is "unicast", "blackhole" and so on.
	Type string
	// Protocol says who made the route: bird, dhcp, static, kernel, ...
	Protocol string
	// Floor says that it is the one below all others, which refuses packets
	// while no neighbor has a way (bird_config, unreachable).
	Floor bool
}

// observeRoutes reads the best route in the main table for exactly each prefix,
// and the networks that the floor refuses: the routes with its protocol number.
func observeRoutes(ctx context.Context, prefixes []plan.StatusPrefix,
	floor int,
) (map[netip.Prefix]Route, []netip.Prefix, error) {
	wanted := map[netip.Prefix]bool{}
	families := map[int]bool{}
	for _, p := range prefixes {
		wanted[p.Network] = true
		if p.Network.Addr().Is4() {
			families[unix.AF_INET] = true
		} else {
			families[unix.AF_INET6] = true
		}
	}
	out := map[netip.Prefix]Route{}
	best := map[netip.Prefix]int{}
	var refused []netip.Prefix
	for family := range families {
		routes, err := dumpRoutes(ctx, family)
		if err != nil {
			return nil, nil, fmt.Errorf("kernel routes: %w", err)
		}
		for _, r := range routes {
			dst, ok := rtnl.Prefix(r.Dst)
			below := r.Type == unix.RTN_UNREACHABLE && int(r.Protocol) == floor
			if ok && below {
				refused = append(refused, dst)
			}
			if metric, seen := best[dst]; !ok || !wanted[dst] || seen && metric <= r.Priority {
				continue
			}
			best[dst] = r.Priority
			route, err := describeRoute(r)
			if err != nil {
				return nil, nil, err
			}
			route.Floor = below
			out[dst] = route
		}
	}
	return out, refused, nil
}

// dumpRoutes dumps the main table, again when the kernel says that the table
// changed meanwhile: what it returned then may lack routes.
func dumpRoutes(ctx context.Context, family int) ([]netlink.Route, error) {
	return fib.Dump(ctx, func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	})
}

func describeRoute(r netlink.Route) (Route, error) {
	out := Route{Protocol: r.Protocol.String(), Type: fib.TypeName(r.Type)}
	if r.Type != unix.RTN_UNICAST {
		return out, nil
	}
	indexes := []int{r.LinkIndex}
	if len(r.MultiPath) > 0 {
		indexes = nil
		for _, hop := range r.MultiPath {
			indexes = append(indexes, hop.LinkIndex)
		}
	}
	for _, index := range indexes {
		link, err := netlink.LinkByIndex(index)
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			continue // went away together with its routes
		}
		if err != nil {
			return out, err
		}
		out.Devices = append(out.Devices, link.Attrs().Name)
	}
	slices.Sort(out.Devices)
	return out, nil
}

// loopback is lo's index in every network namespace (LOOPBACK_IFINDEX).
const loopback = 1

// ownAddresses lists the host's addresses in the order of interfaces. Loopback comes last:
// what is on it others may have too (a floating IP, keepalived's, an anycast one).
func ownAddresses() ([]netip.Addr, error) {
	addrs, err := rtnl.Addresses(nil)
	sort.SliceStable(addrs, func(i, j int) bool {
		return addrs[i].LinkIndex != loopback && addrs[j].LinkIndex == loopback
	})
	var out []netip.Addr
	for _, a := range addrs {
		if addr, ok := netip.AddrFromSlice(a.IP); ok {
			out = append(out, addr.Unmap())
		}
	}
	return out, err
}

// Addresses lists the host's own addresses in some networks; it is never nil.
func Addresses(networks []netip.Prefix) []netip.Addr {
	out := []netip.Addr{}
	own, _ := ownAddresses() // without any, nobody asks this router
	for _, a := range own {
		if !a.IsLinkLocalUnicast() && slices.ContainsFunc(networks, func(n netip.Prefix) bool {
			return n.Contains(a)
		}) {
			out = append(out, a)
		}
	}
	return out
}

// clockFree reports whether the kernel knows of nobody who keeps its clock right. That takes
// chrony a while after a boot. What cannot be read is taken for a clock that is right.
func clockFree() bool {
	const patience = 10 * 60 // seconds
	var t unix.Timex
	var s unix.Sysinfo_t
	_, err := unix.Adjtimex(&t)
	return err == nil && t.Status&unix.STA_UNSYNC != 0 && unix.Sysinfo(&s) == nil && s.Uptime > patience
}
