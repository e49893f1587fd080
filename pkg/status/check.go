package status

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/birdc"
)

// rejectAfter is the age from which WireGuard takes no packet under a session
// (REJECT_AFTER_TIME in the protocol's paper): with a keepalive, a handshake
// that old means that newer ones fail.
const rejectAfter = 180 * time.Second

// A Problem is one thing that is not as the request has it.
type Problem struct {
	// Text is one line: what it is about, what was expected, what to do next.
	Text string
	// Required says that one of the peers in Request.Require is affected.
	Required bool
}

// A Report is what Check makes of an observation.
type Report struct {
	Problems []Problem
	// Tunnels, Prefixes and Targets say what is healthy, in the order of the
	// request.
	Tunnels, Prefixes, Targets []bool
}

// Healthy tells whether there is no problem.
func (r Report) Healthy() bool { return len(r.Problems) == 0 }

// RequiredHealthy tells whether no problem affects a required peer.
func (r Report) RequiredHealthy() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Required })
}

// Texts lists the lines of all problems; it is never nil.
func (r Report) Texts() []string {
	out := []string{}
	for _, p := range r.Problems {
		out = append(out, p.Text)
	}
	return out
}

// Check finds what is wrong. Of a tunnel it names the cause and leaves out
// what follows from it: without a handshake there can be no BGP.
func Check(r Request, o Observation) Report {
	var rep Report
	add := func(required bool, format string, args ...any) {
		rep.Problems = append(rep.Problems, Problem{Text: fmt.Sprintf(format, args...), Required: required})
	}
	needsBird := slices.ContainsFunc(r.Tunnels, func(t Tunnel) bool { return t.Neighbor != "" })
	if o.BirdErr != nil && needsBird {
		add(r.Require == nil || len(r.Require) > 0, "%s", birdDown(o.BirdErr))
	}
	for i, t := range r.Tunnels {
		causes := checkTunnel(r, t, o.Tunnels[i], o)
		rep.Tunnels = append(rep.Tunnels, len(causes) == 0 && (o.BirdErr == nil || t.Neighbor == ""))
		for _, c := range causes {
			add(r.requires(t.Peer, t.Neighbor), "tunnel %s to %s: %s", t.Name, t.Peer, c)
		}
	}
	if o.RoutesErr != nil && len(r.Prefixes) > 0 {
		add(true, "%s: expected to read the kernel's routing table", o.RoutesErr)
	}
	for _, p := range r.Prefixes {
		cause := ""
		if o.RoutesErr == nil {
			cause = checkPrefix(r, p, o)
		}
		rep.Prefixes = append(rep.Prefixes, cause == "" && o.RoutesErr == nil)
		if cause != "" {
			add(r.requiresPrefix(p), "prefix %s of %s: %s", p.Network, p.Site, cause)
		}
	}
	for _, line := range o.MissingTables {
		add(false, "%s", line)
	}
	if open := r.open(o); len(open) > 0 && o.RoutesErr == nil {
		add(false, "the floor is missing for %s: while no tunnel has a way to it, its packets leave unencrypted: run the mesh play here, and look at what removes routes (journalctl -u wgmesh-floor; ip route show proto %d)", join(open), r.Floor)
	}
	for i, target := range r.Reach {
		cause := ""
		if o.Probed {
			cause = checkTarget(r, target.Address, o.Targets[i])
		}
		rep.Targets = append(rep.Targets, cause == "" && o.Probed)
		if cause != "" {
			add(r.requires(target.Name), "router %s at %s: %s", target.Name, target.Address, cause)
		}
	}
	return rep
}

func birdDown(err error) string {
	if errors.Is(err, birdc.ErrNotRunning) {
		return fmt.Sprintf("%s: expected a running BIRD: start it (systemctl start bird) and look at its log (journalctl -u bird)", err)
	}
	return fmt.Sprintf("BIRD does not answer: %s: look at its log (journalctl -u bird)", err)
}

func checkTunnel(r Request, t Tunnel, s TunnelState, o Observation) []string {
	if s.DeviceErr != nil {
		return []string{deviceTrouble(t, s.DeviceErr)}
	}
	if s.Device.Peer == nil {
		return []string{fmt.Sprintf("the interface has no peer yet: expected %s: run the mesh play on both, so that each learns the other's public key", t.Peer)}
	}
	if stale(*s.Device.Peer, o.At) {
		return []string{handshakeTrouble(t, s, o.At)}
	}
	var causes []string
	established := s.Session != nil && s.Session.State == "Established"
	probed := o.Probed && !slices.Contains(r.Silent, t.Peer)
	if probed && s.PingErr != nil {
		causes = append(causes, pingTrouble(t, s, o.At))
		if !established {
			return causes
		}
	} else if probed && s.WholeErr != nil {
		causes = append(causes, mtuTrouble(t, s))
	}
	if o.BirdErr == nil && t.Neighbor != "" {
		if c := sessionTrouble(r, t, s); c != "" {
			causes = append(causes, c)
		}
	}
	return causes
}

// stale tells whether a peer's last handshake is missing or too old. Without a
// keepalive an idle tunnel makes none, which is no fault.
func stale(p Peer, now time.Time) bool {
	return p.Handshake.IsZero() || p.Keepalive > 0 && now.Sub(p.Handshake) > rejectAfter
}

func deviceTrouble(t Tunnel, err error) string {
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return fmt.Sprintf("interface %s does not exist: run the mesh play here, or start it (systemctl start wg-quick@%s)", t.Name, t.Name)
	}
	return fmt.Sprintf("%s cannot be read as a WireGuard interface: %s: expected to be root, and %s to be of type wireguard", t.Name, err, t.Name)
}

func handshakeTrouble(t Tunnel, s TunnelState, now time.Time) string {
	p := s.Device.Peer
	var b strings.Builder
	if p.Handshake.IsZero() {
		b.WriteString("no handshake yet")
	} else {
		fmt.Fprintf(&b, "no handshake for %d s", int(now.Sub(p.Handshake).Seconds()))
	}
	port := s.Device.Port
	if p.Endpoint.IsValid() {
		port = int(p.Endpoint.Port())
		fmt.Fprintf(&b, "; last endpoint %s: ", p.Endpoint)
	} else {
		b.WriteString("; no endpoint known: ")
	}
	switch {
	// WireGuard counts a handshake's first message when it knows the sender's
	// key. Only the second message is mixed with the pre-shared key.
	case p.Handshake.IsZero() && p.Rx > 0 || s.RxGrew:
		fmt.Fprintf(&b, "handshakes of %s arrive but none is completed: either the preshared keys of the two ends differ (run the mesh play on both) or our answers do not arrive (UDP %d in the firewall of %s)", t.Peer, port, t.Peer)
	case !p.Endpoint.IsValid():
		fmt.Fprintf(&b, "%s has to begin: check that it runs, and UDP %d in the firewall of this router", t.Peer, port)
	case s.EndpointAnswers:
		fmt.Fprintf(&b, "it answers ping, so check UDP %d in the firewalls of both ends, and that both have each other's present public and preshared keys (run the mesh play on both)", port)
	default:
		fmt.Fprintf(&b, "check UDP %d in the firewalls of both ends, and that %s runs", port, t.Peer)
	}
	return b.String()
}

func pingTrouble(t Tunnel, s TunnelState, now time.Time) string {
	what := fmt.Sprintf("link address %s does not answer ping", t.Address)
	if !errors.Is(s.PingErr, ErrNoAnswer) {
		what = fmt.Sprintf("ping to link address %s: %s", t.Address, s.PingErr)
	}
	return fmt.Sprintf("%s, though the last handshake is %d s old: check that %s has this address, that both ends allow it to the other (wg show %s allowed-ips), and that %s admits ICMP",
		what, int(now.Sub(s.Device.Peer.Handshake).Seconds()), t.Peer, t.Name, t.Peer)
}

func mtuTrouble(t Tunnel, s TunnelState) string {
	if errors.Is(s.WholeErr, unix.EMSGSIZE) && s.Device.MTU < t.MTU {
		return fmt.Sprintf("the MTU of %s is %d, expected %d: run the mesh play here", t.Name, s.Device.MTU, t.MTU)
	}
	upTo := "only small ones do"
	if s.PathMTU > 0 {
		upTo = fmt.Sprintf("those of %d do", s.PathMTU)
	}
	return fmt.Sprintf("packets of %d bytes, its MTU, do not get through, %s: check the MTU of %s's end, then lower mtu of one of the two sites, or let UDP fragments through between them", t.MTU, upTo, t.Peer)
}

// sessionTrouble is about BGP and the BFD session that guards it.
func sessionTrouble(r Request, t Tunnel, s TunnelState) string {
	if s.Session == nil {
		return fmt.Sprintf("BIRD has no protocol %s: expected a BGP session: run the mesh play here", t.Neighbor)
	}
	bfd := "missing"
	if s.BFD != nil {
		bfd = s.BFD.State
	}
	b := s.Session
	switch {
	case b.Up == "down":
		return fmt.Sprintf("BGP session %s is switched off: birdc enable %s", b.Name, b.Name)
	case t.AS != 0 && b.NeighborAS != 0 && b.NeighborAS != t.AS:
		return fmt.Sprintf("BIRD expects AS %d of %s, the inventory says AS %d: run the mesh play here", b.NeighborAS, t.Peer, t.AS)
	case b.State != "Established":
		why := ""
		if b.LastError != "" {
			why = " (" + b.LastError + ")"
		}
		return fmt.Sprintf("BGP is %s%s, expected Established: on %s look at birdc show protocols all, and that TCP 179 is open inside the tunnel", cmp.Or(b.State, b.Up), why, t.Peer)
	case r.BFD && bfd != "Up":
		return fmt.Sprintf("BFD is %s, expected Up: check that %s has BFD on, and that UDP 3784 is open inside the tunnel", bfd, t.Peer)
	case b.LimitHit:
		return fmt.Sprintf("BGP session %s is over its limit of routes, with %d taken: expected only the routes of the mesh: on %s look at birdc show route export", b.Name, b.Imported, t.Peer)
	}
	return ""
}

func checkPrefix(r Request, p Prefix, o Observation) string {
	route, found := o.Routes[p.Network]
	if !found || route.Floor {
		return fmt.Sprintf("no tunnel has a route to it: expected a BGP session to bring it: birdc show route for %s all, here and on a router of %s", p.Network, p.Site)
	}
	if len(route.Devices) == 0 {
		return fmt.Sprintf("the kernel's route, made by %s, drops its packets (%s): expected it to go out of a tunnel: ip route show %s", route.Protocol, route.Type, p.Network)
	}
	for _, dev := range route.Devices {
		if !slices.ContainsFunc(r.Tunnels, func(t Tunnel) bool { return t.Name == dev }) {
			return fmt.Sprintf("goes out of %s by a route made by %s, expected it to go out of a tunnel: remove that route (ip route show %s)", dev, route.Protocol, p.Network)
		}
	}
	return ""
}

// open lists the networks to refuse that nothing refuses.
func (r Request) open(o Observation) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(r.Refused), func(n netip.Prefix) bool {
		return slices.ContainsFunc(o.Refused, func(outer netip.Prefix) bool { return outer.Bits() <= n.Bits() && outer.Contains(n.Addr()) })
	})
}

func checkTarget(r Request, to netip.Addr, s TargetState) string {
	switch {
	case s.Self, s.Err == nil && (s.From.IsValid() || !r.speaks(to)):
		return ""
	case s.Err == nil:
		return fmt.Sprintf("this router has no address in its own networks (%s) to ask from: expected one: check its address and the site's networks in the inventory", join(r.SourceNetworks))
	}
	from := ""
	if s.From.IsValid() {
		from = " from " + s.From.String()
	}
	if errors.Is(s.Err, ErrNoAnswer) {
		return fmt.Sprintf("does not answer a ping of %d bytes%s: check ip route get to it at both ends, IP forwarding of both VMs in the cloud, and that its firewall admits ICMP", reachProbe, from)
	}
	return fmt.Sprintf("ping of %d bytes%s: %s: check ip route get to it", reachProbe, from, s.Err)
}

// speaks tells whether the own site has a network of an address's family. A
// site with IPv4 only has no way to another one's IPv6 addresses, nor needs one.
func (r Request) speaks(a netip.Addr) bool {
	return slices.ContainsFunc(r.SourceNetworks, func(n netip.Prefix) bool { return n.Addr().Is4() == a.Is4() })
}

func join[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}
