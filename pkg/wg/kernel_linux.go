package wg

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/rtnl"
	"github.com/wgmesh/router/pkg/socket"
)

// Links returns every network interface with its addresses.
func (h *Host) Links() (map[string]Link, error) {
	links, err := rtnl.Dump(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	addrs, err := rtnl.Addresses(nil)
	if err != nil {
		return nil, err
	}
	byIndex := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := rtnl.Prefix(a.IPNet); ok {
			byIndex[a.LinkIndex] = append(byIndex[a.LinkIndex], p)
		}
	}
	out := map[string]Link{}
	for _, l := range links {
		attrs := l.Attrs()
		kind := l.Type()
		if kind == "tuntap" {
			kind = kindUserspace
		}
		out[attrs.Name] = Link{
			Kind: kind, Up: attrs.RawFlags&unix.IFF_UP != 0, MTU: attrs.MTU, Addresses: sorted(byIndex[attrs.Index]),
		}
	}
	return out, nil
}

// Device asks the kernel, then wireguard-go. Only this device: a list of all
// would also show those of other network namespaces.
func (h *Host) Device(name string) (Device, error) {
	if err := socket.Hangs(name); err != nil {
		return Device{}, err
	}
	dev, err := h.client.Device(name)
	if errors.Is(err, unix.ECONNREFUSED) { // the process is gone, its socket is not
		return Device{}, fs.ErrNotExist
	}
	if err != nil {
		return Device{}, err
	}
	return h.device(dev), nil
}

// device copies what we need and forgets the secrets.
func (h *Host) device(dev *wgtypes.Device) Device {
	out := Device{ListenPort: dev.ListenPort}
	if dev.PrivateKey != (wgtypes.Key{}) {
		out.PublicKey = plan.PublicKey(dev.PublicKey)
	}
	clear(dev.PrivateKey[:])
	for i := range dev.Peers {
		p := &dev.Peers[i]
		psk := secret(p.PresharedKey)
		live := LivePeer{
			PublicKey: plan.PublicKey(p.PublicKey), PresharedKey: h.salt.fingerprint(&psk),
			PersistentKeepalive: int(p.PersistentKeepaliveInterval / time.Second), LastHandshake: p.LastHandshakeTime,
			Received: p.ReceiveBytes,
		}
		psk.wipe()
		clear(p.PresharedKey[:])
		if p.Endpoint != nil {
			e := p.Endpoint.AddrPort()
			live.Endpoint = netip.AddrPortFrom(e.Addr().Unmap(), e.Port())
		}
		for _, n := range p.AllowedIPs {
			if a, ok := rtnl.Prefix(&n); ok {
				live.AllowedIPs = append(live.AllowedIPs, a)
			}
		}
		live.AllowedIPs = networks(live.AllowedIPs)
		out.Peers = append(out.Peers, live)
	}
	return out
}

// Configure makes all changes of c in one message.
func (h *Host) Configure(name string, c DeviceChange) error {
	var cfg wgtypes.Config
	defer wipe(&cfg)
	if c.PrivateKeyFile != "" {
		key, err := readKeyFile(c.PrivateKeyFile)
		if err != nil {
			return err
		}
		cfg.PrivateKey = (*wgtypes.Key)(&key)
	}
	if c.ListenPort != 0 {
		cfg.ListenPort = &c.ListenPort
	}
	if c.AnyPort {
		cfg.ListenPort = new(int)
	}
	for _, p := range c.Peers {
		pc, err := peerConfig(p)
		cfg.Peers = append(cfg.Peers, pc) // before err is looked at: wipe must see it
		if err != nil {
			return fmt.Errorf("peer %s: %w", p.Name, err)
		}
	}
	cfg.Peers = append(cfg.Peers, takeAway(c.Peers)...)
	if c.Hold > 0 {
		if err := h.forget(name); err != nil {
			return err
		}
	}
	return h.configure(name, cfg)
}

func (h *Host) configure(name string, cfg wgtypes.Config) error {
	h.left() // who has gone has its port no more
	if err := socket.Hangs(name); err != nil {
		return err
	}
	return h.client.ConfigureDevice(name, cfg)
}

// nobody is the public key of nobody: no private key is known for a hash.
var nobody = wgtypes.Key(sha256.Sum256([]byte("wgmesh.router: the public key of nobody")))

// takeAway takes networks from peers that stay. Before Linux 6.16 the only way is to replace all of
// a peer's networks, which leaves it with none for a moment and drops packets. A network that is
// given to another peer moves without such a moment, so these move to a placeholder peer, which is
// removed in the same message.
func takeAway(peers []PeerChange) []wgtypes.PeerConfig {
	var take []net.IPNet
	for _, p := range peers {
		for _, n := range p.RemoveAllowedIPs {
			take = append(take, ipNet(n))
		}
	}
	if len(take) == 0 {
		return nil
	}
	return []wgtypes.PeerConfig{{PublicKey: nobody, AllowedIPs: take}, {PublicKey: nobody, Remove: true}}
}

func peerConfig(p PeerChange) (wgtypes.PeerConfig, error) {
	pc := wgtypes.PeerConfig{PublicKey: wgtypes.Key(p.PublicKey), Remove: p.Remove, UpdateOnly: !p.Add}
	if p.Endpoint.IsValid() {
		pc.Endpoint = net.UDPAddrFromAddrPort(p.Endpoint)
	}
	if p.Keepalive != nil {
		d := time.Duration(*p.Keepalive) * time.Second
		pc.PersistentKeepaliveInterval = &d
	}
	for _, n := range p.AddAllowedIPs {
		pc.AllowedIPs = append(pc.AllowedIPs, ipNet(n))
	}
	if p.PresharedKeyFile == nil {
		return pc, nil
	}
	var key secret // zero: no pre-shared key
	if *p.PresharedKeyFile != "" {
		var err error
		if key, err = readKeyFile(*p.PresharedKeyFile); err != nil {
			return pc, err
		}
	}
	pc.PresharedKey = (*wgtypes.Key)(&key)
	return pc, nil
}

func wipe(cfg *wgtypes.Config) {
	if cfg.PrivateKey != nil {
		clear(cfg.PrivateKey[:])
	}
	for _, p := range cfg.Peers {
		if p.PresharedKey != nil {
			clear(p.PresharedKey[:])
		}
	}
}

// SetMTU sets the MTU of name, in bytes.
func (h *Host) SetMTU(name string, mtu int) error {
	return onLink(name, func(l netlink.Link) error { return netlink.LinkSetMTU(l, mtu) })
}

// addLink makes an interface of the kernel's WireGuard (rtnetlink(7)). netlink.LinkAdd
// knows all kinds of links, which is 50 kB of program.
func addLink(name string) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kindKernel))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// SetUp brings the link up.
func (h *Host) SetUp(name string) error { return onLink(name, netlink.LinkSetUp) }

// AddAddress adds a to name; one that is there already is not an error.
func (h *Host) AddAddress(name string, a netip.Prefix) error {
	return onLink(name, func(l netlink.Link) error {
		n := ipNet(a)
		// No broadcast address, as wg-quick.
		err := netlink.AddrAdd(l, &netlink.Addr{IPNet: &n, Broadcast: net.IPv4zero})
		if errors.Is(err, unix.EEXIST) {
			return nil
		}
		return err
	})
}

// RemoveAddress removes a from name; one that is not there is no error.
func (h *Host) RemoveAddress(name string, a netip.Prefix) error {
	return onLink(name, func(l netlink.Link) error {
		have, err := rtnl.Addresses(l)
		for _, one := range have {
			// As it is: one with a peer is another one than without.
			if p, _ := rtnl.Prefix(one.IPNet); p == a && err == nil {
				err = netlink.AddrDel(l, &one)
			}
		}
		if errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil
		}
		return err
	})
}

// DeleteLink deletes a WireGuard interface; one that is not there is no error.
func (h *Host) DeleteLink(name string) error {
	err := onLink(name, func(l netlink.Link) error {
		if k := l.Type(); k != kindKernel && k != "tuntap" && k != kindUserspace {
			return fmt.Errorf("not a WireGuard interface (%s), left alone", k)
		}
		return netlink.LinkDel(l)
	})
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err == nil {
		h.leaving = append(h.leaving, name)
	}
	return err
}

// left waits until the wireguard-go processes of deleted interfaces have gone, which would otherwise take
// the sockets of their successors along. One that hangs never goes, so all are given the same seconds.
func (h *Host) left() {
	end := time.Now().Add(3 * time.Second)
	for _, name := range h.leaving {
		for ; time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			conn, err := net.DialTimeout("unix", socket.Userspace(name), time.Second)
			if err != nil {
				break
			}
			_ = conn.Close()
		}
	}
	h.leaving = nil
}

func onLink(name string, do func(netlink.Link) error) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return do(l)
}

func ipNet(p netip.Prefix) net.IPNet {
	return net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Implementation says which WireGuard these interfaces use: kernel, userspace, or nothing when none
// of them is there. It is slower than the kernel's, so one userspace interface makes it userspace.
func (h *Host) Implementation(tunnels []plan.Tunnel) (string, error) {
	links, err := h.Links()
	if err != nil {
		return "", err
	}
	kinds := []string{}
	for _, t := range tunnels {
		kinds = append(kinds, links[t.Name].Kind)
	}
	switch {
	case slices.Contains(kinds, kindUserspace):
		return "userspace", nil
	case slices.Contains(kinds, kindKernel):
		return "kernel", nil
	}
	return "", nil
}

// Ports says who holds which of these UDP ports, but for the WireGuard interfaces
// with the given names.
func (h *Host) Ports(ports []int, except []string) (map[int]string, error) {
	out := map[int]string{}
	if len(ports) == 0 {
		return out, nil
	}
	held, err := socket.Owners(socket.UDP, ports...)
	for port, owners := range held {
		ours := func(o socket.Owner) bool { return o.WireGuard() && slices.Contains(except, o.Last) }
		switch {
		case slices.ContainsFunc(owners, ours):
		case len(owners) == 0:
			out[port] = h.listener(port)
		default:
			out[port] = fmt.Sprintf("%s (process %d)", owners[0].Name, owners[0].PID)
		}
	}
	return out, err
}

// listener names the kernel's WireGuard interface that listens on a port.
func (h *Host) listener(port int) string {
	links, err := h.Links()
	for _, name := range sortedKeys(links) {
		if links[name].Kind != kindKernel || err != nil {
			continue
		}
		if d, err := h.Device(name); err == nil && d.ListenPort == port {
			return "the WireGuard interface " + name
		}
	}
	return "the kernel (not WireGuard; see ss -lunp)"
}
