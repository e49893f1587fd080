package status

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/cause"
)

// A Gateway is a next hop towards the own site.
type Gateway struct {
	Address netip.Addr // not valid: the site is on the device itself
	Device  string
	Network netip.Prefix // the first one that it is for
	Dark    bool         // its device has no carrier
	Dead    bool         // nobody answers for its address
}

// observeGateways asks, as ARP does, who has the addresses of the gateways of BIRD's
// routes into the own site. What the kernel remembers of a neighbour may be as old as a minute.
func observeGateways(ctx context.Context, f *Forwarding, timeout time.Duration) (out []Gateway) {
	for i := range f.flows {
		x := &f.flows[i]
		via := x.answer.Via
		if x.way == inward && x.isBird() && x.answer.Device != "" && !slices.ContainsFunc(out, func(g Gateway) bool {
			return g.Address == via && g.Device == x.answer.Device
		}) {
			out = append(out, Gateway{Address: via, Device: x.answer.Device, Network: x.network})
		}
	}
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() { out[i].look(ctx, timeout) })
	}
	all.Wait()
	return out
}

// look fills in what is wrong with it. BIRD takes no route by a device without a carrier. BIRD 3 hears
// of none since somebody had it read the text again that it ran.
func (g *Gateway) look(ctx context.Context, timeout time.Duration) {
	link, err := net.InterfaceByName(g.Device)
	if err != nil || link.Flags&net.FlagUp == 0 {
		return
	}
	g.Dark = link.Flags&net.FlagRunning == 0
	g.Dead = !g.Dark && g.Address.Is4() && silent(ctx, link, *g, timeout)
}

// silent reports whether nobody answers for an address, where that can be asked at all.
func silent(ctx context.Context, link *net.Interface, g Gateway, timeout time.Duration) bool {
	if len(link.HardwareAddr) != 6 || link.Flags&net.FlagPointToPoint != 0 {
		return false
	}
	from, ok := addressOn(link, g.Address)
	if !ok {
		return false
	}
	arp := wire(unix.ETH_P_ARP)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(arp))
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	broadcast := unix.SockaddrLinklayer{
		Protocol: arp, Ifindex: link.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255},
	}
	if unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: arp, Ifindex: link.Index}) != nil {
		return false
	}
	// Ethernet, IPv4, lengths, request (RFC 826).
	question := append([]byte{0, 1, 8, 0, 6, 4, 0, 1}, link.HardwareAddr...)
	question = append(append(question, from.AsSlice()...), make([]byte, 6)...)
	question = append(question, g.Address.AsSlice()...)
	buf := make([]byte, 128)
	for end := time.Now().Add(timeout); time.Now().Before(end) && ctx.Err() == nil; {
		if unix.Sendto(fd, question, 0, &broadcast) != nil {
			return false // the interface is down, which is told elsewhere
		}
		for again := time.Now().Add(timeout / 4); ; {
			left := time.Until(again)
			if left <= 0 {
				break
			}
			wait := unix.NsecToTimeval(left.Nanoseconds())
			if unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait) != nil {
				return false
			}
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil && !errors.Is(err, unix.EINTR) {
				break
			}
			if n >= 28 && buf[7] == 2 && netip.AddrFrom4([4]byte(buf[14:18])) == g.Address {
				return false
			}
		}
	}
	return true
}

// addressOn is the own address on an interface to ask with.
func addressOn(link *net.Interface, to netip.Addr) (best netip.Addr, ok bool) {
	addrs, _ := link.Addrs()
	for _, a := range addrs {
		n, is := a.(*net.IPNet)
		if !is {
			continue
		}
		if mine, _ := netip.AddrFromSlice(n.IP); mine.Unmap().Is4() && (!ok || n.Contains(to.AsSlice())) {
			best, ok = mine.Unmap(), true
		}
	}
	return best, ok
}

// wire is a protocol's number in the order of the network.
func wire(protocol uint16) uint16 {
	var order [2]byte
	binary.BigEndian.PutUint16(order[:], protocol)
	return binary.NativeEndian.Uint16(order[:])
}

// deafWarning is about a BIRD that will not see its interface into the site go dark.
func (o *Observation) deafWarning() (out []cause.Cause) {
	if len(o.Deaf) > 0 && !slices.ContainsFunc(o.Gateways, func(g Gateway) bool { return g.Dark }) {
		out = append(out, cause.New("BIRD has read a text again that it ran, so %s will not see the site's interface "+
			"go dark: run the mesh play here, or systemctl reload bird", cause.List(o.Deaf)))
	}
	return out
}

// checkGateways is about gateways that are not there.
func checkGateways(o *Observation) (out []Problem) {
	for _, g := range o.Gateways {
		switch {
		case g.Dark:
			out = append(out, Problem{Cause: cause.New("%s has no carrier, and BIRD has %s by it: "+
				"mend that link, or have others go elsewhere by birdc 'restart \"site*\"'", g.Device,
				g.Network)})
		case g.Dead:
			out = append(out, Problem{Cause: cause.New("gateway %s of %s does not answer on %s: "+
				"set mesh_gateway to one that does", g.Address, g.Network, g.Device)})
		}
	}
	return out
}
