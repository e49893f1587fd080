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

// Check finds what is wrong. Of a tunnel it names the cause and leaves out
// what follows from it: without a handshake there can be no BGP.
func Check(r Request, o Observation) Report {
	var rep Report
	needsBird := slices.ContainsFunc(r.Tunnels, func(t Tunnel) bool { return t.Neighbor != "" })
	if p, found := checkBird(o); found && needsBird {
		p.Required = r.Require == nil || len(r.Require) > 0
		rep.Problems = append(rep.Problems, p)
	}
	own := len(rep.Problems) > 0
	hopeless := map[string]bool{} // peers to which time brings no way
	silent := map[string]bool{}
	for i, t := range r.Tunnels {
		healthy := o.BirdErr == nil || t.Neighbor == ""
		hopeless[t.Peer] = hopeless[t.Peer] || own && t.Neighbor != ""
		for _, p := range checkTunnel(r, t, o.Tunnels[i], o) {
			p.Peer, p.Required = t.Peer, r.requires(t.Peer, t.Neighbor)
			hopeless[t.Peer] = hopeless[t.Peer] || p.Final
			silent[t.Peer] = silent[t.Peer] || p.Silent
			healthy = false
			if p.Text != "" { // else it follows from what is said already
				p.Text = fmt.Sprintf("tunnel %s to %s: %s", t.Name, t.Peer, p.Text)
				rep.Problems = append(rep.Problems, p)
			}
		}
		rep.Tunnels = append(rep.Tunnels, healthy)
	}
	checkPrefixes(r, o, hopeless, &rep)
	for _, line := range o.MissingTables {
		rep.Problems = append(rep.Problems, Problem{Text: line, Cause: line})
	}
	if open := r.open(o); len(open) > 0 && o.RoutesErr == nil {
		text := fmt.Sprintf("the floor is missing for %s: while no tunnel has a way to it, its packets leave unencrypted: run the mesh play here, and look at what removes routes (journalctl -u wgmesh-floor; ip route show proto %d)", join(open), r.Floor)
		rep.Problems = append(rep.Problems, Problem{Text: text, Cause: "its floor is missing"})
	}
	for i, target := range r.Reach {
		cause := ""
		if o.Probed {
			cause = checkTarget(r, target.Address, o.Targets[i])
		}
		rep.Targets = append(rep.Targets, cause == "" && o.Probed)
		if cause != "" {
			rep.Problems = append(rep.Problems, Problem{
				Text: fmt.Sprintf("router %s at %s: %s", target.Name, target.Address, cause), Cause: "no answer from its site",
				Peer: target.Name, Required: r.requires(target.Name), Final: hopeless[target.Name], Silent: silent[target.Name],
			})
		}
	}
	return rep
}

// checkBird finds what keeps all sessions of this router down.
func checkBird(o Observation) (p Problem, found bool) {
	switch {
	case errors.Is(o.BirdErr, birdc.ErrNotRunning):
		return Problem{
			Cause: "BIRD does not run", Final: true,
			Text: fmt.Sprintf("%s: expected a running BIRD: start it (systemctl start bird) and look at its log (journalctl -u bird)", o.BirdErr),
		}, true
	case o.BirdErr != nil:
		return Problem{
			Cause: "BIRD does not answer", Final: true,
			Text: fmt.Sprintf("BIRD does not answer: %s: look at its log (journalctl -u bird)", o.BirdErr),
		}, true
	case o.PortHolder != "":
		cause := "TCP 179 is held by " + o.PortHolder
		return Problem{
			Cause: cause, Final: true,
			Text: cause + ": BIRD has to listen there: stop that program, and run the mesh play again",
		}, true
	}
	return Problem{}, false
}

// checkPrefixes looks for the networks of other sites in the kernel's routes.
func checkPrefixes(r Request, o Observation, hopeless map[string]bool, rep *Report) {
	if o.RoutesErr != nil && len(r.Prefixes) > 0 {
		rep.Problems = append(rep.Problems, Problem{
			Text: fmt.Sprintf("%s: expected to read the kernel's routing table", o.RoutesErr), Cause: "its routes cannot be read", Required: true,
		})
	}
	for _, p := range r.Prefixes {
		cause, missing := "", false
		if o.RoutesErr == nil {
			cause, missing = checkPrefix(r, p, o)
		}
		rep.Prefixes = append(rep.Prefixes, cause == "" && o.RoutesErr == nil)
		if cause != "" {
			rep.Problems = append(rep.Problems, Problem{
				Text: fmt.Sprintf("prefix %s of %s: %s", p.Network, p.Site, cause), Cause: fmt.Sprintf("no way to %s of %s", p.Network, p.Site),
				Required: r.requiresPrefix(p), Final: missing && r.nobodyBrings(p, hopeless), Follows: missing,
			})
		}
	}
}

// nobodyBrings reports whether all peers that announce a prefix are hopeless.
func (r Request) nobodyBrings(p Prefix, hopeless map[string]bool) bool {
	owners := slices.DeleteFunc(slices.Clone(r.Tunnels), func(t Tunnel) bool { return p.AS != 0 && t.AS != p.AS })
	if len(owners) == 0 {
		owners = r.Tunnels
	}
	return !slices.ContainsFunc(owners, func(t Tunnel) bool { return !hopeless[t.Peer] })
}

// checkTunnel finds what is wrong with a tunnel. A problem without a text follows
// from what is wrong with the whole router.
func checkTunnel(r Request, t Tunnel, s TunnelState, o Observation) []Problem {
	if s.DeviceErr != nil {
		return []Problem{{Text: deviceTrouble(t, s.DeviceErr), Cause: "no interface", Final: true}}
	}
	if reason := r.Pending[t.Peer]; reason != "" && (s.Device.Peer == nil || stale(*s.Device.Peer, o.At)) {
		return []Problem{{Text: "it waits: " + reason, Cause: "its tunnels wait: " + reason, Final: true}}
	}
	if s.Device.Peer == nil {
		return []Problem{{
			Text:  fmt.Sprintf("the interface has no peer yet: expected %s: run the mesh play on both, so that each learns the other's public key", t.Peer),
			Cause: "it has told no key", Final: true,
		}}
	}
	if stale(*s.Device.Peer, o.At) {
		return []Problem{{Text: handshakeTrouble(t, s, o.At), Cause: "no handshake: check that it runs, and UDP in its firewall"}}
	}
	var out []Problem
	established := s.Session != nil && s.Session.State == "Established"
	probed := o.Probed && !slices.Contains(r.Silent, t.Peer)
	if probed && s.PingErr != nil {
		carries := established && s.BFD != nil && s.BFD.State == "Up"
		text, cause := pingTrouble(t, s, o.At), "nothing comes through its tunnels: check that it runs, and UDP in its firewall"
		if carries {
			cause = "no answer to ping: admit ICMP"
			text = fmt.Sprintf("link address %s does not answer ping, though BGP and BFD work: %s or this router drops ICMP: admit it, or nobody is told when a packet is too large", t.Address, t.Peer)
		}
		out = append(out, Problem{Text: text, Cause: cause, Silent: carries})
		if !established {
			return out
		}
	} else if probed && s.WholeErr != nil {
		out = append(out, Problem{Text: mtuTrouble(t, s), Cause: "large packets do not get through", Final: errors.Is(s.WholeErr, unix.EMSGSIZE) && s.Device.MTU < t.MTU})
	}
	if o.BirdErr == nil && t.Neighbor != "" {
		if p, found := checkSession(r, t, s); found {
			if o.PortHolder != "" && !established {
				p.Text = ""
			}
			out = append(out, p)
		}
	}
	return out
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

// checkSession is about BGP and the BFD session that guards it.
func checkSession(r Request, t Tunnel, s TunnelState) (Problem, bool) {
	if s.Session == nil {
		return Problem{
			Text: fmt.Sprintf("BIRD has no protocol %s: expected a BGP session: run the mesh play here", t.Neighbor), Cause: "BIRD knows nothing of it", Final: true,
		}, true
	}
	bfd := "missing"
	if s.BFD != nil {
		bfd = s.BFD.State
	}
	b := s.Session
	switch {
	case strings.Contains(b.LastError, noSocket):
		return Problem{
			Text:  fmt.Sprintf("BGP session %s has no socket, since TCP 179 was taken when it began: run the mesh play here, or birdc restart %s", b.Name, b.Name),
			Cause: "no BGP session", Final: true,
		}, true
	case b.Up == "down":
		return Problem{Text: fmt.Sprintf("BGP session %s is switched off: birdc enable %s", b.Name, b.Name), Cause: "BGP session switched off", Final: true}, true
	case t.AS != 0 && b.NeighborAS != 0 && b.NeighborAS != t.AS:
		return Problem{
			Text: fmt.Sprintf("BIRD expects AS %d of %s, the inventory says AS %d: run the mesh play here", b.NeighborAS, t.Peer, t.AS), Cause: "another AS number", Final: true,
		}, true
	case b.State != "Established":
		why := ""
		if b.LastError != "" {
			why = " (" + b.LastError + ")"
		}
		return Problem{
			Text:  fmt.Sprintf("BGP is %s%s, expected Established: on %s look at birdc show protocols all, and that TCP 179 is open inside the tunnel", cmp.Or(b.State, b.Up), why, t.Peer),
			Cause: "no BGP session: look at birdc show protocols all there",
		}, true
	case r.BFD && bfd != "Up":
		return Problem{
			Text: fmt.Sprintf("BFD is %s, expected Up: check that %s has BFD on, and that UDP 3784 is open inside the tunnel", bfd, t.Peer), Cause: "no BFD session",
		}, true
	case b.LimitHit:
		return Problem{
			Text:  fmt.Sprintf("BGP session %s is over its limit of routes, with %d taken: expected only the routes of the mesh: on %s look at birdc show route export", b.Name, b.Imported, t.Peer),
			Cause: "it announces too many routes",
		}, true
	}
	return Problem{}, false
}

// checkPrefix says what is wrong with a prefix, and whether it is simply missing.
func checkPrefix(r Request, p Prefix, o Observation) (cause string, missing bool) {
	route, found := o.Routes[p.Network]
	if !found || route.Floor {
		return fmt.Sprintf("no tunnel has a route to it: expected a BGP session to bring it: birdc show route for %s all, here and on a router of %s", p.Network, p.Site), true
	}
	if len(route.Devices) == 0 {
		return fmt.Sprintf("the kernel's route, made by %s, drops its packets (%s): expected it to go out of a tunnel: ip route show %s", route.Protocol, route.Type, p.Network), false
	}
	for _, dev := range route.Devices {
		if !slices.ContainsFunc(r.Tunnels, func(t Tunnel) bool { return t.Name == dev }) {
			return fmt.Sprintf("goes out of %s by a route made by %s, expected it to go out of a tunnel: remove that route (ip route show %s)", dev, route.Protocol, p.Network), false
		}
	}
	return "", false
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
