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
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// rejectAfter is the age from which WireGuard takes no packet under a session
// (REJECT_AFTER_TIME in the protocol's paper): with a keepalive, a handshake
// that old means that newer ones fail.
const rejectAfter = 180 * time.Second

// Judge finds what is wrong. Of a tunnel it names the cause and leaves out
// what follows from it: without a handshake there can be no BGP.
func Judge(r Request, o Observation) Report {
	var rep Report
	needsBird := slices.ContainsFunc(r.Tunnels, func(t plan.StatusTunnel) bool { return t.Neighbor != "" })
	if p, found := checkBird(o); found && needsBird {
		p.Required = r.Require == nil || len(r.Require) > 0
		rep.Problems = append(rep.Problems, p)
	}
	own := len(rep.Problems) > 0
	rep.Problems = append(rep.Problems, checkForwarding(r, o)...)
	rep.Problems = append(rep.Problems, checkGateways(o)...)
	rep.Problems = append(rep.Problems, checkSite(r, o)...)
	rep.Warnings = o.Forwarding.warnings()
	if o.Probed && r.nothingToTry() {
		rep.Warnings = append(rep.Warnings,
			cause.New(
				"nothing to forward to in its site: name a host that answers ping in mesh_probe, or nobody can try it"))
	}
	hopeless, silent := checkTunnels(r, o, own, &rep)
	checkPrefixes(r, o, hopeless, &rep)
	for _, c := range o.MissingTables {
		rep.Problems = append(rep.Problems, Problem{Cause: c})
	}
	if open := r.open(o); len(open) > 0 && o.RoutesErr == nil {
		rep.Problems = append(rep.Problems, Problem{
			Cause: cause.New(
				"the floor is missing for %s: run the mesh play here, and look at what removes routes (journalctl -u wgmesh-floor)", names(open)),
		})
	}
	checkTargets(r, o, hopeless, silent, &rep)
	return rep
}

// checkTunnels reports the peers to which time brings no way, and those that are silent.
// own reports whether this router's own BIRD is the cause.
func checkTunnels(r Request, o Observation, own bool, rep *Report) (hopeless, silent map[string]bool) {
	hopeless, silent = map[string]bool{}, map[string]bool{}
	for i, t := range r.Tunnels {
		healthy := o.BirdErr == nil || t.Neighbor == ""
		hopeless[t.Peer] = hopeless[t.Peer] || own && t.Neighbor != ""
		for _, p := range checkTunnel(r, t, o.Tunnels[i], o) {
			p.Peer, p.Required = t.Peer, r.requires(t.Peer, t.Neighbor)
			hopeless[t.Peer] = hopeless[t.Peer] || p.Final
			silent[t.Peer] = silent[t.Peer] || p.Silent
			healthy = false
			if p.Cause.Found != "" { // else it follows from what is said already
				p.About = fmt.Sprintf("tunnel %s to %s", t.Name, t.Peer)
				rep.Problems = append(rep.Problems, p)
			}
		}
		rep.Tunnels = append(rep.Tunnels, healthy)
	}
	return hopeless, silent
}

func checkTargets(r Request, o Observation, hopeless, silent map[string]bool, rep *Report) {
	blamed, alive := checkCrossings(r, o, rep)
	for i, target := range r.Reach {
		p := Problem{}
		if o.Probed && !o.isEnd(target.Address) {
			p = checkTarget(r, target.Address, o.Targets[i])
		}
		rep.Targets = append(rep.Targets, p.Cause.Found == "" && o.Probed)
		if p.Cause.Found == "" {
			continue
		}
		p.About, p.Peer = fmt.Sprintf("router %s at %s", target.Name, target.Address), target.Name
		p.Required, p.Final, p.Silent = r.requires(target.Name), hopeless[target.Name], silent[target.Name]
		// It is there, and another router of its site has to forward what goes to it.
		if by := r.passes(o, target.Address, o.Targets[i].From); alive[target.Address] &&
			by != "" && by != target.Name {
			if blamed[by] {
				continue
			}
			p.Peer, p.Cause, p.Here = by, forwardsNothing(target.Address), cause.Cause{}
		}
		rep.Problems = append(rep.Problems, p)
	}
}

// checkBird finds what keeps all sessions of this router down.
func checkBird(o Observation) (p Problem, found bool) {
	switch {
	case errors.Is(o.BirdErr, birdc.ErrNotRunning):
		return Problem{
			Final: true,
			Cause: cause.New(
				"BIRD does not run: start it (systemctl start bird), and look at its log (journalctl -u bird)"),
		}, true
	case errors.Is(o.BirdErr, birdc.ErrSilent):
		return Problem{Final: true, Cause: cause.Parse(birdc.ErrSilent.Error())}, true
	case o.BirdErr != nil:
		return Problem{
			Final: true,
			Cause: cause.New("BIRD does not answer (%s): look at its log (journalctl -u bird)", o.BirdErr),
		}, true
	case o.PortHolder != "":
		return Problem{
			Final: true,
			Cause: cause.New(
				"TCP 179 is held by %s, and BIRD has to listen there: stop that program, and run the mesh play again",
				o.PortHolder),
		}, true
	}
	return Problem{}, false
}

// checkPrefixes looks for the networks of other sites in the kernel's routes.
func checkPrefixes(r Request, o Observation, hopeless map[string]bool, rep *Report) {
	if o.RoutesErr != nil && len(r.Prefixes) > 0 {
		rep.Problems = append(rep.Problems, Problem{
			Cause:    cause.New("the kernel's routes cannot be read (%s): run it again, as root", o.RoutesErr),
			Required: true,
		})
	}
	for _, p := range r.Prefixes {
		found, missing := cause.Cause{}, false
		if o.RoutesErr == nil {
			found, missing = checkPrefix(r, p, o)
		}
		rep.Prefixes = append(rep.Prefixes, found.Found == "" && o.RoutesErr == nil)
		if found.Found != "" {
			rep.Problems = append(rep.Problems, Problem{
				Cause: found, Required: r.requiresPrefix(p),
				Final: missing && r.nobodyBrings(p, hopeless), Follows: missing,
			})
		}
	}
}

// nobodyBrings reports whether all peers that announce a prefix are hopeless.
func (r Request) nobodyBrings(p plan.StatusPrefix, hopeless map[string]bool) bool {
	owners := slices.DeleteFunc(slices.Clone(r.Tunnels), func(t plan.StatusTunnel) bool {
		return p.AS != 0 && t.AS != p.AS
	})
	if len(owners) == 0 {
		owners = r.Tunnels
	}
	return !slices.ContainsFunc(owners, func(t plan.StatusTunnel) bool { return !hopeless[t.Peer] })
}

// checkTunnel finds what is wrong with a tunnel. A problem without a cause follows
// from what is wrong with the whole router.
func checkTunnel(r Request, t plan.StatusTunnel, s TunnelState, o Observation) []Problem {
	if s.DeviceErr != nil {
		return []Problem{{
			Here:  deviceTrouble(t, s.DeviceErr),
			Cause: cause.New("no interface for it at the other end: run the mesh play for all"), Final: true,
		}}
	}
	if reason := r.Pending[t.Peer]; reason != "" && (s.Device.Peer == nil || stale(*s.Device.Peer, o.At)) {
		why := cause.Parse(reason)
		return []Problem{{Here: why.Prefixed("it waits"), Cause: why.Prefixed("its tunnels wait"), Final: true}}
	}
	if s.Device.Peer == nil {
		return []Problem{{
			Here: cause.New(
				"the interface has no peer yet: run the mesh play for both ends, so that each learns the other's public key"),
			Cause: cause.New("it has told no key: run the mesh play for it and its peers"), Final: true,
		}}
	}
	if stale(*s.Device.Peer, o.At) {
		return []Problem{{
			Here:  handshakeTrouble(t, s, o.At),
			Cause: cause.New("no handshake: check that it runs, and UDP in its firewall"),
		}}
	}
	var out []Problem
	established := s.Session != nil && s.Session.State == "Established"
	probed := o.Probed && !slices.Contains(r.Silent, t.Peer)
	if probed && s.PingErr != nil {
		carries := established && s.BFD != nil && s.BFD.State == "Up"
		p := Problem{
			Here:  pingTrouble(t, s),
			Cause: cause.New("nothing comes through its tunnels: check that it runs, and UDP in its firewall"),
		}
		if carries {
			p = Problem{
				Here: cause.New(
					"%s does not answer ping, though BGP and BFD work: admit ICMP at both ends, or nobody learns that a packet is too large", t.Address),
				Cause: cause.New(
					"no answer to ping, though BGP and BFD work: admit ICMP there, or nobody learns that a packet is too large"),
				Silent: true,
			}
		}
		out = append(out, p)
		if !established {
			return out
		}
	} else if probed && s.WholeErr != nil {
		out = append(out,
			Problem{
				Here: mtuTrouble(t, s),
				Cause: cause.New(
					"large packets do not get through its tunnels: lower mtu of its site, or let UDP fragments through"), Final: errors.Is(s.WholeErr, unix.EMSGSIZE) && s.Device.MTU < t.MTU,
			})
	}
	if o.BirdErr == nil && t.Neighbor != "" {
		if p, found := checkSession(r, t, s); found {
			if o.PortHolder != "" && !established {
				p.Cause = cause.Cause{}
			}
			out = append(out, p)
		}
	}
	return out
}

// stale reports whether a peer's last handshake is missing or too old. Without a
// keepalive an idle tunnel makes none, which is not a fault.
func stale(p Peer, now time.Time) bool {
	return p.Handshake.IsZero() || p.Keepalive > 0 && now.Sub(p.Handshake) > rejectAfter
}

func deviceTrouble(t plan.StatusTunnel, err error) cause.Cause {
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return cause.New(
			"interface %s does not exist: run the mesh play here, or start it (systemctl start wg-quick@%s)",
			t.Name, t.Name)
	}
	return cause.New(
		"%s cannot be read as a WireGuard interface (%s): run as root, and look at what it is (ip -d link show %s)",
		t.Name, err, t.Name)
}

func handshakeTrouble(t plan.StatusTunnel, s TunnelState, now time.Time) cause.Cause {
	p := s.Device.Peer
	age := "no handshake yet"
	if !p.Handshake.IsZero() {
		age = fmt.Sprintf("no handshake for %d s", int(now.Sub(p.Handshake).Seconds()))
	}
	port, last := s.Device.Port, "no endpoint known"
	if p.Endpoint.IsValid() {
		port, last = int(p.Endpoint.Port()), fmt.Sprintf("last endpoint %s", p.Endpoint)
	}
	switch endpoint := p.Endpoint.Addr(); {
	// WireGuard counts a handshake's first message when it knows the sender's
	// key. Only the second message is mixed with the pre-shared key.
	case p.Handshake.IsZero() && p.Rx > 0 || s.RxGrew:
		return cause.New(
			"its handshakes arrive but none is completed: run the mesh play for both (preshared keys), or open UDP %d there for answers", port)
	case !p.Endpoint.IsValid():
		return cause.New("%s, %s, so %s has to begin: check that it runs, and UDP %d in the firewall of this router",
			age, last, t.Peer, port)
	case s.EndpointAnswers:
		return cause.New(
			"%s, though %s answers ping: open UDP %d in both firewalls, or run the mesh play for both (keys)", age,
			endpoint, port)
	}
	return cause.New("%s, %s: check UDP %d in the firewalls of both ends, and that %s runs", age, last, port, t.Peer)
}

func pingTrouble(t plan.StatusTunnel, s TunnelState) cause.Cause {
	what := fmt.Sprintf("%s does not answer ping", t.Address)
	if !errors.Is(s.PingErr, ErrNoAnswer) {
		what = fmt.Sprintf("ping to %s: %s", t.Address, s.PingErr)
	}
	return cause.New(
		"%s, though the handshake is young: check its address, ICMP there, and wg show %s allowed-ips at both ends",
		what, t.Name)
}

func mtuTrouble(t plan.StatusTunnel, s TunnelState) cause.Cause {
	if errors.Is(s.WholeErr, unix.EMSGSIZE) && s.Device.MTU < t.MTU {
		return cause.New("the MTU of %s is %d, expected %d: run the mesh play here", t.Name, s.Device.MTU, t.MTU)
	}
	upTo := "only small ones do"
	if s.PathMTU > 0 {
		upTo = fmt.Sprintf("those of %d do", s.PathMTU)
	}
	return cause.New(
		"packets of %d bytes do not get through, %s: check the MTU at both ends, lower mtu of a site, or admit UDP fragments", t.MTU, upTo)
}

// checkSession is about BGP and the BFD session that guards it.
func checkSession(r Request, t plan.StatusTunnel, s TunnelState) (Problem, bool) {
	if s.Session == nil {
		return Problem{
			Here:  cause.New("BIRD has no protocol %s: run the mesh play here", t.Neighbor),
			Cause: cause.New("BIRD at the other end knows nothing of it: run the mesh play for all"), Final: true,
		}, true
	}
	bfd := "missing"
	if s.BFD != nil {
		bfd = s.BFD.State
	}
	b := s.Session
	switch {
	case b.Up == "down" && strings.Contains(b.LastError, noSocket):
		return Problem{
			Here: cause.New(
				"BGP session %s has no socket, TCP 179 was taken when it began: run the mesh play here, or birdc restart %s", b.Name, b.Name),
			Cause: cause.New("no BGP session: run the mesh play for all"), Final: true,
		}, true
	case b.Up == "down":
		return Problem{
			Here:  cause.New("BGP session %s is switched off: switch it on (birdc enable %s)", b.Name, b.Name),
			Cause: cause.New("its BGP session is switched off at the other end: run the mesh play for all"),
			Final: true,
		}, true
	case t.AS != 0 && b.NeighborAS != 0 && b.NeighborAS != t.AS:
		return Problem{
			Here: cause.New("BIRD expects AS %d of %s, the inventory says AS %d: run the mesh play here", b.NeighborAS,
				t.Peer, t.AS),
			Cause: cause.New("others expect another AS number of it: run the mesh play for all"), Final: true,
		}, true
	case b.State != "Established":
		why := ""
		if b.LastError != "" {
			why = " (" + b.LastError + ")"
		}
		return Problem{
			Here: cause.New(
				"BGP is %s%s, not Established: look at birdc show protocols all on %s, and at TCP 179 in the tunnel",
				cmp.Or(b.State, b.Up), why, t.Peer),
			Cause: cause.New("no BGP session: look at birdc show protocols all there"),
		}, true
	case r.BFD && bfd != "Up":
		return Problem{
			Here: cause.New(
				"BFD is %s, expected Up: check that %s has BFD on, and that UDP 3784 is open inside the tunnel",
				bfd, t.Peer),
			Cause: cause.New("no BFD session: check that it has BFD on, and that UDP 3784 is open inside the tunnel"),
		}, true
	case b.LimitHit:
		return Problem{
			Here: cause.New("BGP session %s is over its limit, with %d routes: look at birdc show route export on %s",
				b.Name, b.Imported, t.Peer),
			Cause: cause.New("it announces too many routes: look at birdc show route export there"),
		}, true
	}
	return Problem{}, false
}

// checkPrefix says what is wrong with a prefix, and whether it is simply missing.
func checkPrefix(r Request, p plan.StatusPrefix, o Observation) (c cause.Cause, missing bool) {
	route, found := o.Routes[p.Network]
	if !found || route.Floor {
		return cause.New(
			"prefix %s of %s: no tunnel has a route to it: look at birdc show route for %s all, here and there",
			p.Network, p.Site, p.Network), true
	}
	if len(route.Devices) == 0 {
		return cause.New("prefix %s of %s: a route made by %s drops its packets (%s): remove it (ip route show %s)",
			p.Network, p.Site, route.Protocol, route.Type, p.Network), false
	}
	for _, dev := range route.Devices {
		if !slices.ContainsFunc(r.Tunnels, func(t plan.StatusTunnel) bool { return t.Name == dev }) {
			return cause.New(
				"prefix %s of %s: goes out of %s by a route made by %s: remove that route (ip route show %s)",
				p.Network, p.Site, dev, route.Protocol, p.Network), false
		}
	}
	return cause.Cause{}, false
}

// open lists the networks to refuse that nothing refuses.
func (r Request) open(o Observation) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(r.Refused), func(n netip.Prefix) bool {
		return slices.ContainsFunc(o.Refused, func(outer netip.Prefix) bool {
			return outer.Bits() <= n.Bits() && outer.Contains(n.Addr())
		})
	})
}

func checkTarget(r Request, to netip.Addr, s TargetState) Problem {
	switch {
	case s.Self, s.Err == nil && (s.From.IsValid() || !r.speaks(to)):
		return Problem{}
	case s.Err == nil:
		return Problem{
			Here: cause.New(
				"no own address in %s to ask from: correct this router's address, or its site's networks in the inventory", names(r.SourceNetworks)),
			Cause: cause.New(
				"others have no address to ask it from: correct their addresses or their sites' networks in the inventory"),
		}
	}
	from := ""
	if s.From.IsValid() {
		from = " from " + s.From.String()
	}
	blame := cause.New(
		"no answer from its own address in its site: check its IP forwarding in the cloud, ip route get there, and ICMP in its firewall")
	if errors.Is(s.Err, ErrNoAnswer) {
		return Problem{
			Cause: blame,
			Here: cause.New(
				"no answer to a ping of %d bytes%s: check ip route get and the cloud's IP forwarding at both ends, and ICMP there", reachProbe, from),
		}
	}
	return Problem{
		Cause: blame,
		Here:  cause.New("ping of %d bytes%s: %s: check ip route get to it", reachProbe, from, s.Err),
	}
}

// speaks reports whether the own site has a network of an address's family. A
// site with IPv4 only has no way to another one's IPv6 addresses, nor needs one.
func (r Request) speaks(a netip.Addr) bool {
	return slices.ContainsFunc(r.SourceNetworks, func(n netip.Prefix) bool { return n.Addr().Is4() == a.Is4() })
}

// names lists values for a cause.
func names[T fmt.Stringer](list []T) cause.List {
	texts := make(cause.List, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return texts
}
