package status

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/plan"
)

// A crossing is a ping that another router has to forward into its site: out of the tunnel to it,
// to a host behind it. The answer may come back by any router of that site.
type crossing struct {
	peer   string // the router that is to forward it
	device string // the tunnel to it
	from   netip.Addr
	to     netip.Addr
	named  bool // a host that the inventory names, not a router
	direct bool // to the router itself: nothing is forwarded, and it tells that it is there
	// payload is what fits into each tunnel to the site: the answer may come by another one.
	payload int
	err     error
}

// mostTargets is how many addresses behind one router are asked.
const mostTargets = 5

// crossings lists what to try: for each router of another site the hosts that are named for it, and
// the other routers of its site; and each of its networks that there is no own address to ask from.
func (r *Request) crossings(own []netip.Addr) (out []*crossing) {
	for i := range r.Tunnels {
		t := &r.Tunnels[i]
		if !r.isElsewhere(t) {
			continue
		}
		var list []*crossing
		for _, a := range t.Probe {
			list = append(list, &crossing{to: a, named: true})
		}
		size := reachProbe + header4
		for j := range r.Tunnels {
			o := &r.Tunnels[j]
			if !sameSite(o, t) {
				continue
			}
			if o.MTU > 0 {
				size = min(size, o.MTU)
			}
			for _, target := range r.Reach {
				if target.Name == o.Peer {
					list = append(list, &crossing{to: target.Address, direct: o.Peer == t.Peer})
				}
			}
		}
		for _, c := range list[:min(len(list), mostTargets)] {
			if c.from = source(own, r.SourceNetworks, c.to); c.from.IsValid() {
				c.peer, c.device, c.payload = t.Peer, t.Name, size-header(c.to)
				out = append(out, c)
			}
		}
		for _, n := range t.Networks {
			if r.speaks(n.Addr()) && !source(own, r.SourceNetworks, n.Addr()).IsValid() {
				err := fmt.Errorf("%w in %s", errHomeless, r.own(n.Addr()))
				out = append(out, &crossing{peer: t.Peer, device: t.Name, to: n.Addr(), err: err})
			}
		}
	}
	return out
}

// What keeps a ping from being sent, beside what the kernel says.
var (
	errHomeless   = errors.New("no own address")
	errNotAllowed = errors.New("not in the allowed-ips")
)

// isElsewhere reports whether a tunnel leads to another site, of which it is known what it has.
func (r *Request) isElsewhere(t *plan.StatusTunnel) bool {
	return t.Networks != nil && len(r.SourceNetworks) > 0 && !slices.Equal(t.Networks, r.SourceNetworks)
}

func sameSite(a, b *plan.StatusTunnel) bool {
	return a.AS == b.AS && slices.Equal(a.Networks, b.Networks)
}

// notAllowed tells the pings that WireGuard does not take. The kernel's says ENOKEY, and that of
// wireguard-go nothing.
func (o *Observation) notAllowed(r *Request) {
	for _, c := range o.Crossings {
		p := o.Tunnels[r.tunnel(c.device)].Device.Peer
		taken := p == nil || slices.ContainsFunc(p.Allowed,
			func(n net.IPNet) bool { return n.Contains(c.to.AsSlice()) })
		if errors.Is(c.err, unix.ENOKEY) || errors.Is(c.err, ErrNoAnswer) && !taken {
			c.err = errNotAllowed
		}
	}
}

// thrown notes how an attempt went. When one packet got out, what is missing is the answer.
func (c *crossing) thrown(err error) {
	if !errors.Is(c.err, ErrNoAnswer) {
		c.err = cmp.Or(err, ErrNoAnswer)
	}
}

// cross tries all at once, and returns when all have answered or the time is up.
func cross(ctx context.Context, list []*crossing, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var all sync.WaitGroup
	for _, six := range []bool{false, true} {
		var these []*crossing
		for _, c := range list {
			if c.err == nil && c.to.Is6() == six {
				these = append(these, c)
			}
		}
		if len(these) > 0 {
			all.Go(func() {
				if err := crossFamily(ctx, these, six, timeout); err != nil {
					for _, c := range these {
						c.err = err
					}
				}
			})
		}
	}
	all.Wait()
}

func crossFamily(ctx context.Context, list []*crossing, six bool, timeout time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ears, err := listenAnswers(six)
	if err != nil {
		return err
	}
	defer func() { _ = ears.Close() }()
	defer context.AfterFunc(ctx, func() { _ = ears.SetDeadline(time.Unix(1, 0)) })()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	echoes := map[string]*crossing{}
	waiting := map[*crossing]*echo{}
	for _, c := range list {
		e := newEcho(probe{to: c.to, payload: c.payload})
		echoes[string(e.payload[:tokenSize])], waiting[c] = c, e
	}
	var mu sync.Mutex
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer func() { _ = unix.Close(fd) }()
		for range probeRepeat { // each goes out again until it is answered
			mu.Lock()
			for c, e := range waiting {
				c.thrown(throw(fd, c, e))
			}
			mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-time.After(timeout / 4):
			}
		}
	}()
	buf := make([]byte, 1<<16)
	for left := len(list); left > 0; {
		token, err := hear(ears, buf, six)
		if err != nil {
			break // the time is up
		}
		mu.Lock()
		if c := echoes[token]; c != nil && waiting[c] != nil {
			c.err = nil
			delete(waiting, c)
			left--
		}
		mu.Unlock()
	}
	stop()
	<-sent
	return nil
}

// throw puts a packet into a tunnel past this host's own routes, which know one way to a site only.
func throw(fd int, c *crossing, e *echo) error {
	link, err := net.InterfaceByName(c.device)
	if err != nil {
		return err
	}
	protocol := uint16(unix.ETH_P_IP)
	if c.to.Is6() {
		protocol = unix.ETH_P_IPV6
	}
	return unix.Sendto(fd, packetOf(c.from, c.to, e), 0, &unix.SockaddrLinklayer{
		Protocol: wire(protocol), Ifindex: link.Index,
	})
}

// packetOf is an echo request with its IP header.
func packetOf(from, to netip.Addr, e *echo) []byte {
	if to.Is6() {
		h := make([]byte, 40)
		copy(h[8:], from.AsSlice())
		copy(h[24:], to.AsSlice())
		length := headerICMP + len(e.payload)
		before := append(slices.Clone(h[8:]), 0, 0, byte(length>>8), byte(length), 0, 0, 0, unix.IPPROTO_ICMPV6)
		h[0], h[6], h[7] = 6<<4, unix.IPPROTO_ICMPV6, hops
		binary.BigEndian.PutUint16(h[4:], uint16(length))
		return append(h, echoMessage(e.request, e.id, 0, e.payload, before)...)
	}
	h := make([]byte, 20)
	h[0], h[8], h[9] = 4<<4|5, hops, unix.IPPROTO_ICMP
	binary.BigEndian.PutUint16(h[2:], uint16(header4+len(e.payload)))
	copy(h[12:], from.AsSlice())
	copy(h[16:], to.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, echoMessage(e.request, e.id, 0, e.payload, nil)...)
}

const hops = 64

// listenAnswers opens a socket that hears the answers of one family, whatever tunnel
// they come back by, and before the filters of this host: those do not know the
// questions, which went past them, and may call the answers invalid (ufw does).
func listenAnswers(six bool) (*os.File, error) {
	protocol, filter := wire(unix.ETH_P_IP), echoReply4
	if six {
		protocol, filter = wire(unix.ETH_P_IPV6), echoReply6
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	// The filter comes before the protocol, without which nothing arrives.
	if err = attach(fd, filter); err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "answers"), nil
}

// What a packet has to be, in the instructions of bpf(4): ICMP and its type 0, or
// ICMPv6 and its type 129, an echo reply. All else stays in the kernel.
var (
	echoReply4 = []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_ICMP, Jf: 4},
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	echoReply6 = []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 6},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_ICMPV6, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 40},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 129, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
)

// hear waits for the next answer to anybody's ping, and returns its token.
func hear(ears *os.File, buf []byte, six bool) (token string, err error) {
	for {
		n, err := ears.Read(buf)
		if err != nil {
			return "", err
		}
		header := 40
		if !six {
			header = int(buf[0]&0xf) * 4
		}
		if begin := header + headerICMP; n >= begin+tokenSize {
			return string(buf[begin : begin+tokenSize]), nil
		}
	}
}
