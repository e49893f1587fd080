package status

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// rejectAfter is WireGuard's REJECT_AFTER_TIME: a session older than this
// carries nothing (whitepaper, section 6.1).
const rejectAfter = 180 * time.Second

// stale tells whether the session of a peer cannot carry packets any more.
func stale(p Peer, now time.Time) bool {
	return p.Handshake.IsZero() || now.Sub(p.Handshake) > rejectAfter
}

// A Problem is one thing that is not as it is on a healthy router.
type Problem struct {
	// Peer is the router at the other end; empty for what is no tunnel's.
	Peer string
	// Required says that the request asks for health here.
	Required bool
	// Text is one line: what, what was expected, what to do next.
	Text string
}

// Required are the problems of what the request asks for.
func Required(problems []Problem) []Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool { return !p.Required })
}

// Check lists the problems of an observation. It does no I/O. Of each tunnel
// it names the cause and not what follows from it: without a handshake there
// is no BGP session, and nobody needs to read that too.
func Check(r Request, o Observation) []Problem {
	var out []Problem
	if o.BirdErr != nil && slices.ContainsFunc(r.Tunnels, func(t Tunnel) bool { return t.Neighbor != "" }) {
		out = append(out, Problem{"", true, fmt.Sprintf("BIRD does not answer on %s: %v; look at `systemctl status bird`", r.Socket, o.BirdErr)})
	}
	for i, t := range r.Tunnels {
		if text := checkTunnel(r, t, o.Tunnels[i], o); text != "" {
			out = append(out, Problem{t.Peer, r.requires(t.Peer, t.Neighbor), fmt.Sprintf("tunnel %s to %s: %s", t.Name, t.Peer, text)})
		}
	}
	out = append(out, checkRoutes(r, o)...)
	return append(out, checkReach(r, o)...)
}

func checkTunnel(r Request, t Tunnel, s TunnelState, o Observation) string {
	switch {
	case s.DeviceErr != nil:
		return fmt.Sprintf("no such interface (%v); look at `systemctl status wg-quick@%s`, or run the mesh play", s.DeviceErr, t.Name)
	case s.Device.Peer == nil:
		return "the key of the peer is not known here; run the mesh play for both ends, without --limit"
	case stale(*s.Device.Peer, o.At):
		return staleText(s, o.At)
	case s.PingErr != nil:
		return fmt.Sprintf("the handshake is fresh, but %v; compare the addresses and allowed IPs of both ends", s.PingErr)
	case s.WholeErr != nil:
		return fmt.Sprintf("packets of %d bytes do not get through%s; lower the mtu of one of the two sites", t.MTU, largest(s.PathMTU))
	case t.Neighbor == "" || o.BirdErr != nil:
		return ""
	case s.Session == nil:
		return fmt.Sprintf("BIRD has no protocol %s; run the mesh play", t.Neighbor)
	case s.Session.State != "Established":
		return fmt.Sprintf("the BGP session %s is %s%s; expected Established; look at `birdc show protocols all %s` on both ends",
			t.Neighbor, cmp.Or(s.Session.State, s.Session.Up), lastError(s.Session.LastError), t.Neighbor)
	case t.AS != 0 && s.Session.NeighborAS != t.AS:
		return fmt.Sprintf("the BGP session %s is with AS %d; expected AS %d; run the mesh play", t.Neighbor, s.Session.NeighborAS, t.AS)
	case s.Session.LimitHit:
		return fmt.Sprintf("the BGP session %s has hit its import limit: the peer announces more than its site owns", t.Neighbor)
	case r.BFD && (s.BFD == nil || s.BFD.State != "Up"):
		return fmt.Sprintf("the BFD session with %s is %s; expected Up; let UDP 3784 pass inside of the tunnel", t.Address, bfdState(s.BFD))
	}
	return ""
}

// staleText says why there may be no handshake, as far as it can be seen.
func staleText(s TunnelState, now time.Time) string {
	p := s.Device.Peer
	what := "no handshake yet"
	if !p.Handshake.IsZero() {
		what = fmt.Sprintf("no handshake for %s", now.Sub(p.Handshake).Round(time.Second))
	}
	switch {
	case !p.Endpoint.IsValid():
		return fmt.Sprintf("%s, and no endpoint: the other end has to speak first; look at the tunnel there", what)
	case s.EndpointAnswers:
		return fmt.Sprintf("%s, though %s answers ping; let UDP port %d through at both ends, or the keys of the two ends differ: run the mesh play for both",
			what, p.Endpoint.Addr(), s.Device.Port)
	}
	return fmt.Sprintf("%s; expected one with %s; see that the router is up and UDP port %d is let through at both ends", what, p.Endpoint, s.Device.Port)
}

func largest(size int) string {
	if size == 0 {
		return ""
	}
	return fmt.Sprintf(", the largest that did had %d", size)
}

func lastError(text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" (last error: %s)", text)
}

func bfdState(s *BFDSession) string {
	if s == nil {
		return "missing"
	}
	return s.State
}

// checkRoutes looks for every prefix in the kernel's table, through a tunnel.
func checkRoutes(r Request, o Observation) []Problem {
	if o.RoutesErr != nil {
		return []Problem{{"", true, o.RoutesErr.Error()}}
	}
	var out []Problem
	for _, p := range r.Prefixes {
		route, found := o.Routes[p.Network]
		text := ""
		switch {
		case !found:
			text = "is not in the kernel's table"
		case len(route.Devices) == 0:
			text = "is dropped by a route of type " + route.Type
		case !r.tunnelled(route.Devices):
			text = fmt.Sprintf("leaves by %s, which is no tunnel (route by %s)", strings.Join(route.Devices, " and "), route.Protocol)
		default:
			continue
		}
		out = append(out, Problem{"", r.requiresPrefix(p), fmt.Sprintf("network %s of site %s %s; expected a tunnel; look at `birdc show route all for %s`",
			p.Network, p.Site, text, p.Network)})
	}
	return out
}

func (r Request) tunnelled(devices []string) bool {
	return !slices.ContainsFunc(devices, func(d string) bool {
		return !slices.ContainsFunc(r.Tunnels, func(t Tunnel) bool { return t.Name == d })
	})
}

// checkReach looks at the answers of other routers' site addresses.
func checkReach(r Request, o Observation) []Problem {
	if !o.Probed {
		return nil
	}
	var out []Problem
	for i, target := range r.Reach {
		s := o.Targets[i]
		switch {
		case s.Self:
		case s.Err != nil:
			out = append(out, Problem{target.Name, r.requires(target.Name), fmt.Sprintf("%s (%s) does not answer ping from %s in its site: %v; see that its site's firewall lets this site in",
				target.Name, target.Address, from(s.From), s.Err)})
		case !s.From.IsValid() && r.speaks(target.Address):
			out = append(out, Problem{target.Name, r.requires(target.Name), fmt.Sprintf("%s (%s) cannot be pinged: this router has no address in %s, its own site",
				target.Name, target.Address, networks(r.SourceNetworks))})
		}
	}
	return out
}

// speaks tells whether the own site has a network of an address's family. A
// site with IPv4 only has no way to another one's IPv6 addresses, nor needs one.
func (r Request) speaks(a netip.Addr) bool {
	return slices.ContainsFunc(r.SourceNetworks, func(n netip.Prefix) bool { return n.Addr().Is4() == a.Is4() })
}

func from(a netip.Addr) string {
	if !a.IsValid() {
		return "here"
	}
	return a.String()
}

func networks(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = n.String()
	}
	return strings.Join(texts, ", ")
}
