package preflight

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
	"github.com/wgmesh/router/pkg/rtnl"
	"github.com/wgmesh/router/pkg/socket"
)

// Known is what other packages know about a host: whose its interfaces and its BIRD are.
type Known struct {
	Ours   map[string]bool
	Taken  map[string]string
	Listen map[int]string // UDP ports of the kernel's interfaces, and their names
	Bird   Bird
}

// Observe looks at the host, in the network namespace of the calling thread. It writes nothing.
func Observe(w Want, known Known) (Have, error) {
	h := Have{
		Ours: known.Ours, Taken: known.Taken, NoIPv6: noIPv6(),
		NoPing:  switchedOn("net.ipv4.icmp_echo_ignore_all"),
		NoPing6: switchedOn("net.ipv6.icmp.echo_ignore_all"), No: missing(), Closed: Closed("/"),
		Mounts:  atomicfile.Mounts(),
		Passing: passing("/etc"), Unmade: unmade(), Needed: needed(resolvConf...), Bird: known.Bird,
	}
	h.Bird.Masked = program.Masked("bird.service")
	kernel, err := h.interfaces()
	if err == nil {
		err = h.routes()
	}
	if err == nil {
		h.Claims, err = mark.Observe("/")
	}
	if err != nil {
		return h, err
	}
	maps.Copy(kernel, known.Listen)
	return h, h.ports(w, kernel)
}

// interfaces reads the links that are not ours, and returns the UDP ports that the
// kernel opens for some of them.
func (h *Have) interfaces() (map[int]string, error) {
	links, err := rtnl.Dump(netlink.LinkList)
	if err != nil {
		return nil, fmt.Errorf("network interfaces: %w", err)
	}
	addrs, err := rtnl.Addresses(nil)
	if err != nil {
		return nil, fmt.Errorf("network addresses: %w", err)
	}
	kernel := map[int]string{}
	for _, l := range links {
		switch l := l.(type) {
		case *netlink.Vxlan:
			kernel[l.Port] = l.Name
		case *netlink.Geneve:
			kernel[int(l.Dport)] = l.Name
		}
		name := l.Attrs().Name
		if h.Ours[name] {
			continue
		}
		link := Link{Name: name}
		for _, a := range addrs {
			if p, ok := rtnl.Prefix(a.IPNet); ok && a.LinkIndex == l.Attrs().Index &&
				!p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() {
				link.Addresses = append(link.Addresses, p)
			}
		}
		h.Links = append(h.Links, link)
	}
	return kernel, nil
}

// routes reads the routes of others: not the kernel's own, which follow from the
// addresses, and not those that BIRD or our floor has.
func (h *Have) routes() error {
	names := map[int]string{}
	links, err := rtnl.Dump(netlink.LinkList)
	if err != nil {
		return err
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := rtnl.Dump(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return fmt.Errorf("kernel routes: %w", err)
		}
		for _, r := range routes {
			n, ok := rtnl.Prefix(r.Dst)
			dev := names[r.LinkIndex]
			if !ok || n.Bits() == 0 || n.Addr().IsLinkLocalUnicast() || n.Addr().IsMulticast() ||
				dev == "" || h.Ours[dev] ||
				r.Type != unix.RTN_UNICAST || r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_BIRD {
				continue
			}
			h.Routes = append(h.Routes, Route{Network: n, Dev: dev, Owner: r.Protocol.String()})
		}
	}
	return nil
}

// ports finds out who holds the ports that the plan needs. What our tunnels and our
// BIRD hold is left out.
func (h *Have) ports(w Want, kernel map[int]string) error {
	udp := []int{plan.BFDPort}
	for _, t := range w.Plan.Tunnels {
		udp = append(udp, t.ListenPort)
	}
	held, err := h.others(w.Socket, udp, kernel)
	if err != nil {
		return err
	}
	h.UDP, h.TCP = held[socket.UDP], held[socket.TCP]
	if len(h.UDP) == 0 {
		return nil
	}
	time.Sleep(again) // a question to a name server has a port of its own for a moment
	if held, err = h.others(w.Socket, udp, kernel); err != nil {
		return err
	}
	maps.DeleteFunc(h.UDP, func(port int, owner string) bool { return held[socket.UDP][port] != owner })
	return nil
}

// again is when to look a second time at a port that is held.
const again = 50 * time.Millisecond

// others says by protocol which ports are held by somebody else. The kernel's own are
// known by their interfaces.
func (h *Have) others(control string, udp []int, kernel map[int]string) (map[string]map[int]string, error) {
	held, err := socket.Look(map[string][]int{socket.UDP: udp, socket.TCP: {plan.BGPPort}}, control)
	ours := func(o socket.Owner) bool {
		return o.WireGuard() && h.Ours[o.Last] || slices.ContainsFunc(held.Unix, func(b socket.Owner) bool {
			return b.PID == o.PID
		})
	}
	out := map[string]map[int]string{}
	for protocol, ports := range held.Ports {
		out[protocol] = map[int]string{}
		for port, owners := range ports {
			switch {
			case slices.ContainsFunc(owners, ours):
			case len(owners) > 0:
				// systemd holds the sockets of what it starts, and is not who to ask.
				last := slices.MaxFunc(owners, func(a, b socket.Owner) int { return a.PID - b.PID })
				out[protocol][port] = owner(last)
			case protocol == socket.TCP:
				out[protocol][port] = "a process that cannot be found"
			case !h.Ours[kernel[port]]:
				out[protocol][port] = cmp.Or(kernel[port], "the kernel")
			}
		}
	}
	return out, err
}

// owner names a process, and a WireGuard in user space by its interface.
func owner(o socket.Owner) string {
	if o.WireGuard() {
		return fmt.Sprintf("%s (%s, pid %d)", o.Last, o.Name, o.PID)
	}
	return fmt.Sprintf("%s, pid %d", o.Name, o.PID)
}

// noIPv6 names what keeps new interfaces from having IPv6.
func noIPv6() string {
	if _, err := os.Stat("/proc/sys/net/ipv6/conf"); err != nil {
		return "ipv6.disable=1 on the kernel's command line"
	}
	if off := switchedOn("net.ipv6.conf.default.disable_ipv6"); off != "" {
		return cmp.Or(switchedOn("net.ipv6.conf.all.disable_ipv6"), off) // "all" sets both
	}
	return ""
}

// switchedOn is how a kernel parameter stands when it is 1, or empty.
func switchedOn(key string) string {
	if setting("/proc/sys/"+strings.ReplaceAll(key, ".", "/")) == "1" {
		return key + " = 1"
	}
	return ""
}

func setting(path string) string {
	text, _ := os.ReadFile(path) // one that is not there is not set
	return strings.TrimSpace(string(text))
}

// tools are the programs that the modules run.
var tools = []string{"bird", "ip", "nft", "wg", "wg-quick"}

func missing() (out []string) {
	for _, tool := range tools {
		if !found(tool) {
			out = append(out, tool)
		}
	}
	if !hasWireGuard() {
		out = append(out, "WireGuard (neither in the kernel nor wireguard-go)")
	}
	return out
}

func found(tool string) bool {
	_, err := exec.LookPath(tool)
	return err == nil
}

// hasWireGuard reports whether the kernel has WireGuard, or can load it, or there is
// one in user space.
func hasWireGuard() bool {
	if _, err := os.Stat("/sys/module/wireguard"); err == nil || found("wireguard-go") {
		return true
	}
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return true // who knows
	}
	folder := filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]))
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		text, err := os.ReadFile(filepath.Join(folder, list))
		if err == nil && strings.Contains(string(text), "/wireguard.ko") {
			return true
		}
	}
	return false
}

// least is the room that a run needs, in bytes.
const least = 1 << 20

// Closed are the folders below a root that a run writes to and cannot, and why.
func Closed(root string) map[string]string {
	folders := []string{plan.TunnelDirectory, "/etc/bird", "/etc/sysctl.d", "/etc/systemd/system", plan.RunDirectory}
	for i, folder := range folders {
		folders[i] = filepath.Join(root, folder)
	}
	return ClosedOf(folders...)
}

// ClosedOf is Closed of these folders.
func ClosedOf(folders ...string) map[string]string {
	out := map[string]string{}
	for _, folder := range folders {
		folder = nearest(folder)
		var fs unix.Statfs_t
		switch err := unix.Statfs(folder, &fs); {
		case err != nil:
			out[folder] = err.Error()
		case fs.Flags&unix.ST_RDONLY != 0:
			out[folder] = unix.EROFS.Error()
		case fs.Blocks > 0 && fs.Bfree*uint64(fs.Bsize) < least || fs.Files > 0 && fs.Ffree == 0:
			out[folder] = unix.ENOSPC.Error()
		}
	}
	return out
}

// resolvConf names the servers that this host asks for names. Where systemd-resolved is in
// between, its file has those that it asks.
var resolvConf = []string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"}

// needed are those servers, and the addresses at which clouds serve their machines.
func needed(resolvConf ...string) map[netip.Addr]string {
	out := map[netip.Addr]string{
		netip.MustParseAddr("169.254.169.254"): "the cloud's metadata",
		netip.MustParseAddr("fd00:ec2::254"):   "the cloud's metadata",
		netip.MustParseAddr("169.254.169.253"): "AWS's name server",
		netip.MustParseAddr("169.254.169.123"): "AWS's clock",
		netip.MustParseAddr("168.63.129.16"):   "Azure's platform",
	}
	for _, path := range resolvConf {
		text, _ := os.ReadFile(path) // none names nobody
		for line := range strings.Lines(string(text)) {
			word := strings.Fields(line)
			if len(word) > 1 && word[0] == "nameserver" {
				if a, err := netip.ParseAddr(word[1]); err == nil {
					out[a.WithZone("").Unmap()] = "its name server (" + path + ")"
				}
			}
		}
	}
	return out
}

// Have is what a host has, as far as a plan can be about it.
type Have struct {
	Claims []mark.Claim // who says that the host is in a mesh
	// Ours are the tunnels that wgmesh.router made, and those that are planned and
	// that nobody else has; Taken are planned names that somebody has, and what.
	Ours  map[string]bool
	Taken map[string]string
	// UDP and TCP are the ports that somebody else holds, and who.
	UDP, TCP map[int]string

	Links  []Link
	Routes []Route               // of the main table, without those of BIRD and of the kernel
	Needed map[netip.Addr]string // addresses that this host asks for names and the like, and what they are
	Bird   Bird

	NoIPv6          string            // what turns IPv6 off on new interfaces; empty: nothing
	NoPing, NoPing6 string            // what keeps the host from answering ping by either family; empty: nothing
	Passing         string            // why the machine's id is new at each boot; empty: it is not
	Unmade          bool              // the image play has not come to its end
	No              []string          // programs that are not installed
	Closed          map[string]string // folders that cannot be written to, and why
	Mounts          []string          // where something is mounted
}

// A Link is a network interface that is not ours.
type Link struct {
	Name      string
	Addresses []netip.Prefix
}

// A Route is one that somebody else made.
type Route struct {
	Network netip.Prefix
	Dev     string
	Owner   string // the protocol that made it, as ip-route(8) shows it
}

// Bird is the BIRD of a host.
type Bird struct {
	Path    string
	Foreign []byte // its text, unless it is ours
	Masked  string // the file that keeps its service from starting; empty: nothing does
	Unfit   string // why the installed program is not known to work; empty: it is
}

func (h Have) route(n netip.Prefix) (Route, bool) {
	i := slices.IndexFunc(h.Routes, func(r Route) bool { return r.Network.Overlaps(n) })
	if i < 0 {
		return Route{}, false
	}
	return h.Routes[i], true
}

// subnet is where an interface of somebody else overlaps with a network.
func (h Have) subnet(n netip.Prefix) (dev string, found netip.Prefix, ok bool) {
	for _, l := range h.Links {
		i := slices.IndexFunc(l.Addresses, func(a netip.Prefix) bool { return a.Overlaps(n) })
		if i >= 0 {
			return l.Name, l.Addresses[i], true
		}
	}
	return "", netip.Prefix{}, false
}
