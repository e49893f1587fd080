package status

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/socket"
)

// rejectAfter is the age from which WireGuard takes no packet under a session (REJECT_AFTER_TIME in
// the protocol's paper): with a keepalive, a handshake that old means that newer ones fail.
const rejectAfter = 180 * time.Second

// checkTunnels reports the peers to which time brings no way, those that are silent, and those that
// cannot have told all that they bring. own reports whether this router's own BIRD is the cause.
func checkTunnels(r *Request, o *Observation, own bool, rep *Report) (hopeless, silent, cut map[string]bool) {
	hopeless, silent, cut = map[string]bool{}, map[string]bool{}, map[string]bool{}
	rep.Problems = append(rep.Problems, checkDevices(r, o, rep)...)
	said := false
	for i, t := range r.Tunnels {
		s := o.Tunnels[i].Session
		cut[t.Peer] = own || s == nil || o.At.Sub(o.clock(s.Since)) < askAgain
		healthy := o.BirdErr == nil || t.Neighbor == ""
		hopeless[t.Peer] = hopeless[t.Peer] || own && t.Neighbor != ""
		kept, inside := o.Forwarding.inside(r, &o.Tunnels[i])
		for _, p := range checkTunnel(r, t, &o.Tunnels[i], o) {
			p.Peer, p.Required = t.Peer, r.requires(t.Peer, t.Neighbor)
			hopeless[t.Peer] = hopeless[t.Peer] || p.Final
			silent[t.Peer] = silent[t.Peer] || p.Silent
			cut[t.Peer] = cut[t.Peer] || p.Cut
			healthy = false
			if inside && !said {
				rep.Problems, said = append(rep.Problems, kept), true
			}
			if p.Cause.Found != "" && !inside { // else it follows from what is said already
				p.About = fmt.Sprintf("tunnel %s to %s", t.Name, t.Peer)
				rep.Problems = append(rep.Problems, p)
			}
		}
		rep.Tunnels = append(rep.Tunnels, healthy)
	}
	return hopeless, silent, cut
}

// checkTunnel finds what is wrong with a tunnel. A problem without a cause follows
// from what is wrong with the whole router.
func checkTunnel(r *Request, t plan.StatusTunnel, s *TunnelState, o *Observation) []Problem {
	if p, found := checkHandshake(r, t, s, o); found {
		p.Cut = true
		return []Problem{p}
	}
	var out []Problem
	established := s.Session != nil && s.Session.State == "Established"
	if o.Probed && !slices.Contains(r.Silent, t.Peer) {
		if s.PingErr != nil || s.WholeErr != nil {
			p := checkPing(t, s, established)
			if established && o.drops(errors.Join(s.PingErr, s.WholeErr)) {
				p.Cause = cause.Cause{}
			}
			out = append(out, p)
		}
		if s.PingErr != nil && !established {
			return out
		}
	}
	if o.BirdErr == nil && t.Neighbor != "" {
		if p, found := checkSession(r, t, s); found {
			p.Cut = true
			if o.PortHolder != "" && !established || len(o.Off) > 0 && established { // BFD, as a rule
				p.Cause = cause.Cause{}
			}
			out = append(out, p)
		}
	}
	return out
}

// checkHandshake finds why no packet can come through a tunnel.
func checkHandshake(r *Request, t plan.StatusTunnel, s *TunnelState, o *Observation) (p Problem, found bool) {
	now := o.At
	if s.DeviceErr != nil {
		return Problem{
			Here:  deviceTrouble(t, s.DeviceErr),
			Cause: cause.New("no interface for it at the other end: run the mesh play for all"), Final: true,
		}, true
	}
	if s.Device.Down {
		return Problem{
			Here:  cause.New("%s is down: run the mesh play here, or set it up (ip link set %s up)", t.Name, t.Name),
			Cause: cause.New("its interface is down at the other end: run the mesh play for all"), Final: true,
		}, true
	}
	if !s.works() && o.otherKey(s) {
		return Problem{
			Here: cause.New("%s has another private key than the other tunnels here: "+
				"run the mesh play for both", t.Name),
			Cause: cause.New("its interface has another private key at the other end: run the mesh play for all"),
			Final: true,
		}, true
	}
	if reason := r.Pending[t.Peer]; reason != "" && (s.Device.Peer == nil || s.stale(now)) {
		why := cause.Parse(reason)
		return Problem{Here: why.Prefixed("it waits"), Cause: why.Prefixed("its tunnels wait"), Final: true}, true
	}
	if s.Device.Peer == nil {
		return Problem{
			Here: cause.New("the interface has no peer yet: " +
				"run the mesh play for both ends, so that each learns the other's public key"),
			Cause: cause.New("it has told no key: run the mesh play for it and its peers"), Final: true,
		}, true
	}
	if s.stale(now) {
		return Problem{
			Here:  handshakeTrouble(t, s, now),
			Cause: cause.New("no handshake: check that it runs, and UDP in its firewall"),
		}, true
	}
	return Problem{}, false
}

// otherKey reports whether this tunnel has another private key than one that works, or than at least as many of the
// others as have its own: a router has one.
func (o *Observation) otherKey(s *TunnelState) bool {
	same, others, works := 0, 0, false
	for i := range o.Tunnels {
		switch t := &o.Tunnels[i]; {
		case t.DeviceErr != nil:
		case t.Device.Own != s.Device.Own:
			others++
			works = works || t.works()
		case t.works():
			return false
		default:
			same++
		}
	}
	return works || others > 0 && others >= same
}

// checkPing is about a tunnel whose small or whole packets get no answer.
func checkPing(t plan.StatusTunnel, s *TunnelState, established bool) Problem {
	switch {
	case s.PingErr == nil:
		return Problem{
			Here: mtuTrouble(t, s),
			Cause: cause.New(
				"large packets do not get through its tunnels: lower mtu of its site, or let UDP fragments through"),
			Final: errors.Is(s.WholeErr, unix.EMSGSIZE) && s.Device.MTU < t.MTU,
		}
	case s.works() && errors.Is(s.PingErr, ErrNoAnswer):
		return Problem{
			Here: cause.New("%s does not answer ping, though BGP and BFD work: "+
				"admit ICMP at both ends, or nobody learns that a packet is too large", t.Address),
			Cause: cause.New("no answer to ping, though BGP and BFD work: " +
				"admit ICMP there, or nobody learns that a packet is too large"),
			Silent: true,
		}
	}
	return Problem{
		Here:   pingTrouble(t, s),
		Cause:  cause.New("nothing comes through its tunnels: check that it runs, and UDP in its firewall"),
		Cut:    t.Neighbor != "" && !established, // else a router that answers no ping may be all
		Silent: s.works(),
	}
}

// stale reports whether the peer's last handshake is missing or too old. Without a
// keepalive an idle tunnel makes none, which is not a fault. Where BFD hears the peer, the
// handshake is young and the clock was set since: an old session takes no packet.
func (s *TunnelState) stale(now time.Time) bool {
	p := s.Device.Peer
	return p.Handshake.IsZero() || p.Keepalive > 0 && now.Sub(p.Handshake) > rejectAfter && !s.works()
}

// works reports whether BGP is up, and BFD hears the peer, which it needs to all the time.
func (s *TunnelState) works() bool {
	return s.Session != nil && s.Session.State == "Established" && s.BFD != nil && s.BFD.State == "Up"
}

func deviceTrouble(t plan.StatusTunnel, err error) cause.Cause {
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return cause.New("interface %s does not exist: "+
			"run the mesh play here, or start it (systemctl start wg-quick@%s)", t.Name, t.Name)
	}
	if errors.Is(err, socket.ErrHangs) {
		return cause.New("the wireguard-go of %s does not answer: "+
			"end that process (kill -KILL), and start it again (systemctl restart wg-quick@%s)", t.Name, t.Name)
	}
	return cause.New("%s cannot be read as a WireGuard interface (%s): "+
		"run as root, and look at what it is (ip -d link show %s)", t.Name, err, t.Name)
}

func handshakeTrouble(t plan.StatusTunnel, s *TunnelState, now time.Time) cause.Cause {
	p := s.Device.Peer
	age := "no handshake yet"
	if !p.Handshake.IsZero() {
		age = fmt.Sprintf("no handshake for %d s", int(now.Sub(p.Handshake).Seconds()))
	}
	port, last := s.port(), "no endpoint known"
	if p.Endpoint.IsValid() {
		last = fmt.Sprintf("last endpoint %s", p.Endpoint)
	}
	switch endpoint := p.Endpoint.Addr(); {
	// WireGuard counts a handshake's first message when it knows the sender's
	// key. Only the second message is mixed with the pre-shared key.
	case p.Handshake.IsZero() && p.Rx > 0 || s.RxGrew:
		return cause.New("its handshakes arrive but none is completed: "+
			"run the mesh play for both (pre-shared keys), or open UDP %d there for answers", port)
	case !p.Endpoint.IsValid():
		return cause.New("%s, %s, so %s has to begin: check that it runs, and UDP %d in the firewall of this router",
			age, last, t.Peer, port)
	case t.Endpoint.IsValid() && endpoint != t.Endpoint.Addr(): // WireGuard calls where the peer was last
		return cause.New("%s, last endpoint %s, planned %s: run the mesh play here, and check that %s runs",
			age, endpoint, t.Endpoint.Addr(), t.Peer)
	case s.EndpointAnswers:
		return cause.New("%s, though %s answers ping: "+
			"open UDP %d in both firewalls, or run the mesh play for both (keys)", age, endpoint, port)
	}
	return cause.New("%s, %s: check UDP %d in the firewalls of both ends, and that %s runs", age, last, port, t.Peer)
}

// elsewhere reports whether the peer calls from another address than the planned one. From
// another port it is behind address translation. What is of another family, or within a
// network of somebody's own, is another way to the same router.
func (s *TunnelState) elsewhere(t plan.StatusTunnel) bool {
	if s.Device.Peer == nil {
		return false
	}
	from, to := s.Device.Peer.Endpoint, t.Endpoint
	return to.IsValid() && from.Port() == to.Port() && from.Addr() != to.Addr() &&
		from.Addr().BitLen() == to.Addr().BitLen() && from.Addr().IsPrivate() == to.Addr().IsPrivate()
}

// moved is about peers that have left their planned endpoint, each in the same words whoever
// sees it. One that still answers there has several addresses. Where nothing answers ping,
// nobody can tell.
func moved(r *Request, o *Observation) (out []cause.Cause) {
	for i, t := range r.Tunnels {
		s := &o.Tunnels[i]
		gone := errors.Is(s.PlannedErr, ErrNoAnswer) || errors.Is(s.PlannedErr, unix.EHOSTUNREACH)
		if gone && s.EndpointAnswers && s.elsewhere(t) && !s.stale(o.At) {
			out = append(out, cause.New("%s calls from %s, and nothing answers at its endpoint, %s: "+
				"correct that in the inventory, or a peer that reboots may not find it",
				t.Peer, s.Device.Peer.Endpoint.Addr(), t.Endpoint.Addr()))
		}
	}
	return out
}

// port is the UDP port of a tunnel that has a peer: that of the peer, where it is known.
func (s *TunnelState) port() int {
	if p := s.Device.Peer; p.Endpoint.IsValid() {
		return int(p.Endpoint.Port())
	}
	return s.Device.Port
}

// pingTrouble is about a tunnel with a handshake that is so young that it says nothing of this moment.
func pingTrouble(t plan.StatusTunnel, s *TunnelState) cause.Cause {
	what := fmt.Sprintf("%s does not answer ping", t.Address)
	quiet := s.BFD == nil && s.Session != nil && s.Session.State == "Established" // and may be well
	switch {
	case errors.Is(s.PingErr, unix.EPERM):
		return cause.New("a ping is refused here (%s): look at what filters its output (nft list ruleset)", s.PingErr)
	case !errors.Is(s.PingErr, ErrNoAnswer):
		what = fmt.Sprintf("ping to %s: %s", t.Address, s.PingErr)
	case s.Still && !quiet:
		return cause.New("%s, and nothing arrives in %s: check UDP %d in the firewalls of both ends, and that %s runs",
			what, t.Name, s.port(), t.Peer)
	}
	return cause.New("%s, though the handshake is young: "+
		"check UDP %d, ICMP and its address there, and wg show %s allowed-ips", what, s.port(), t.Name)
}

func mtuTrouble(t plan.StatusTunnel, s *TunnelState) cause.Cause {
	if errors.Is(s.WholeErr, unix.EMSGSIZE) && s.Device.MTU < t.MTU {
		return cause.New("the MTU of %s is %d, expected %d: run the mesh play here", t.Name, s.Device.MTU, t.MTU)
	}
	upTo := "only small ones do"
	if s.PathMTU > 0 {
		upTo = fmt.Sprintf("those of %d do", s.PathMTU)
	}
	return cause.New("packets of %d bytes do not get through, %s: "+
		"check the MTU at both ends, lower mtu of a site, or admit UDP fragments", t.MTU, upTo)
}

// checkSession is about BGP and the BFD session that guards it.
func checkSession(r *Request, t plan.StatusTunnel, s *TunnelState) (Problem, bool) {
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
			Here: cause.New("BGP session %s has no socket, TCP 179 was taken when it began: "+
				"run the mesh play here, or birdc restart %s", b.Name, b.Name),
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
			Here: cause.New("BGP is %s%s, not Established: look at birdc show protocols all on %s, "+
				"and at TCP 179 in the tunnel", cmp.Or(b.State, b.Up), why, t.Peer),
			Cause: cause.New("no BGP session: look at birdc show protocols all there"),
		}, true
	case r.BFD && bfd != "Up":
		return Problem{
			Here: cause.New("BFD is %s, expected Up: "+
				"check that %s has BFD on, and that UDP 3784 is open inside the tunnel", bfd, t.Peer),
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
