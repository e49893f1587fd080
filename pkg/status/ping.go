package status

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	header4 = 20 + headerICMP // IPv4 and ICMP, bytes
	header6 = 40 + headerICMP
	// tokenSize is the part of the payload that makes a probe known again.
	tokenSize   = 8
	smallProbe  = 56   // payload, as ping(8)
	reachProbe  = 1272 // payload: 1300 bytes of IPv4, what every tunnel must carry
	probeRepeat = 3    // a lost packet or two is not a dead tunnel
)

func header(to netip.Addr) int {
	if to.Is6() {
		return header6
	}
	return header4
}

// ErrNoAnswer reports that no echo reply came in time.
var ErrNoAnswer = errors.New("no answer to ping")

// A probe is one address to ping.
type probe struct {
	to netip.Addr
	// from is the own address to use; the zero Addr lets the kernel choose.
	from netip.Addr
	// device binds the probe to an interface; empty lets routing choose.
	device  string
	payload int // bytes, at least tokenSize
	// whole forbids fragments, on this host and on the way. The cached path
	// MTU is not consulted: the probe is to find it out anew.
	whole   bool
	timeout time.Duration
}

// ping sends an echo request, up to probeRepeat times, and returns the round-trip time. A message
// that is larger than the interface's MTU is refused at once with EMSGSIZE.
func ping(ctx context.Context, p probe) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	e := newEcho(p)
	conn, err := p.listen(ctx, e)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	if err := e.send(conn, 0); err != nil {
		return 0, err
	}
	again := time.AfterFunc(p.timeout/4, func() {
		for seq := 1; seq < probeRepeat && ctx.Err() == nil; seq++ {
			_ = e.send(conn, seq) // the first one told of what is refused here
			time.Sleep(p.timeout / 4)
		}
	})
	defer again.Stop()
	rtt, err := e.receive(conn)
	if err != nil && ctx.Err() != nil {
		return 0, fmt.Errorf("%w within %s", ErrNoAnswer, p.timeout)
	}
	return rtt, bare(err)
}

func (p probe) listen(ctx context.Context, e *echo) (net.PacketConn, error) {
	network, from := "ip4:icmp", "0.0.0.0"
	if p.to.Is6() {
		network, from = "ip6:ipv6-icmp", "::"
	}
	if p.from.IsValid() {
		from = p.from.String()
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		ctlErr := raw.Control(func(fd uintptr) { err = errors.Join(p.options(int(fd)), attach(int(fd), e.mine())) })
		return errors.Join(ctlErr, err)
	}}
	return config.ListenPacket(ctx, network, from)
}

// options sets what ip(7), ipv6(7) and socket(7) say of the probe's wishes.
func (p probe) options(fd int) error {
	if p.device != "" {
		if err := unix.BindToDevice(fd, p.device); err != nil {
			return fmt.Errorf("interface %s: %w", p.device, err)
		}
	}
	if !p.whole {
		return nil
	}
	if p.to.Is6() {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1),
		)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
}

// An echo is one probe on its way. Replies to other pings arrive on the same kind of
// socket, so a random token tells this one's.
type echo struct {
	to      *net.IPAddr
	request byte
	reply   byte
	id      uint16
	payload []byte
	start   time.Time
}

func newEcho(p probe) *echo {
	e := &echo{
		to: &net.IPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()}, request: request4, reply: reply4,
		payload: make([]byte, max(p.payload, tokenSize)), start: time.Now(),
	}
	if p.to.Is6() {
		e.request, e.reply = request6, reply6
	}
	_, _ = rand.Read(e.payload[:tokenSize]) // never fails, as documented
	e.id = binary.BigEndian.Uint16(e.payload)
	return e
}

// mine is what a message has to be for this echo, in the instructions of bpf(4): a socket
// gets IPv4 with its header. With hundreds of pings the others' would fill it.
func (e *echo) mine() []unix.SockFilter {
	id := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4}}
	if e.reply == reply4 {
		id = []unix.SockFilter{
			{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
			{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 4},
		}
	}
	return append(id, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(e.id), Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 16}, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K})
}

// attach leaves in the kernel what a socket need not have.
func attach(fd int, filter []unix.SockFilter) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len: uint16(len(filter)), Filter: &filter[0],
	})
}

// send sends attempt seq, with the time since the start behind the token.
func (e *echo) send(conn net.PacketConn, seq int) error {
	body := append([]byte(nil), e.payload...)
	if len(body) >= 2*tokenSize {
		binary.BigEndian.PutUint64(body[tokenSize:], uint64(time.Since(e.start)))
	}
	_, err := conn.WriteTo(echoMessage(e.request, e.id, seq, body, nil), e.to)
	return bare(err)
}

// bare strips the net package's wrapping down to the errno, since the problem's text
// already has the addresses.
func bare(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// receive waits for the reply to any attempt.
func (e *echo) receive(conn net.PacketConn) (time.Duration, error) {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return 0, err
		}
		body, ok := payloadOf(buf[:n], e.reply, e.id)
		if !ok || len(body) != len(e.payload) || string(body[:tokenSize]) != string(e.payload[:tokenSize]) {
			continue
		}
		now := time.Since(e.start)
		if len(body) >= 2*tokenSize {
			sent := time.Duration(binary.BigEndian.Uint64(body[tokenSize:]))
			if sent >= 0 && sent <= now {
				return now - sent, nil
			}
		}
		return now, nil
	}
}

// The types of an echo's messages: RFC 792 and RFC 4443.
const (
	request4, reply4 = 8, 0
	request6, reply6 = 128, 129
)

const headerICMP = 8 // bytes: type, code, checksum, identifier, number

// echoMessage is an echo request. What comes before a message counts for the checksum of
// ICMPv6, which the kernel fills in where it makes the header.
func echoMessage(kind byte, id uint16, seq int, payload, before []byte) []byte {
	m := make([]byte, headerICMP, headerICMP+len(payload))
	m[0] = kind
	binary.BigEndian.PutUint16(m[4:], id)
	binary.BigEndian.PutUint16(m[6:], uint16(seq))
	m = append(m, payload...)
	binary.BigEndian.PutUint16(m[2:], checksum(slices.Concat(before, m)))
	return m
}

func payloadOf(message []byte, kind byte, id uint16) (payload []byte, ok bool) {
	if len(message) < headerICMP || message[0] != kind || binary.BigEndian.Uint16(message[4:]) != id {
		return nil, false
	}
	return message[headerICMP:], true
}

// checksum is that of RFC 1071, of IPv4's header and of ICMP.
func checksum(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
