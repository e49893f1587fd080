package status

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// A Session is a BGP protocol of BIRD.
type Session struct {
	Name string
	// Up is BIRD's own state of the protocol: up, start, down, stop, flush.
	Up string
	// State is the state of BGP's machine, for example Established or Active.
	State string
	// Since is when Up last changed, as BIRD has it: the time of day, or the date of
	// what is older than about 20 hours ("iso short ms" in sysdep/unix/config.Y).
	Since      string
	NeighborAS plan.AS
	// LastError is BIRD's text, which may hold words of the peer; empty if none.
	LastError string
	// Imported is the number of routes taken, over all channels.
	Imported int
	// LimitHit says that a limit on routes is in force.
	LimitHit bool
}

// ParseProtocols reads the BGP protocols from BIRD's "show protocols all" (proto/bgp/bgp.c,
// bgp_show_proto_info). Lines it does not know are skipped: other versions of BIRD print more.
func ParseProtocols(text string) map[string]Session {
	out := map[string]Session{}
	var s *Session
	flush := func() {
		if s != nil {
			out[s.Name] = *s
		}
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if line[0] != ' ' {
			flush()
			s = nil
			if len(fields) >= 4 && fields[1] == "BGP" {
				s = &Session{Name: fields[0], Up: fields[3]}
				if len(fields) > 4 {
					s.Since = fields[4]
				}
			}
			continue
		}
		if s != nil {
			s.detail(line)
		}
	}
	flush()
	return out
}

// ParseOff reads from the same the other protocols that are down: those end when somebody
// disables them, and take with them what all sessions need (kernel4, site4, bfd1).
func ParseOff(text string) (names []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 4 && line[0] != ' ' && f[1] != "BGP" && f[3] == "down" {
			names = append(names, f[0])
		}
	}
	return names
}

// detail reads one indented line, "key: value".
func (s *Session) detail(line string) {
	key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
	value = strings.TrimSpace(value)
	switch key {
	case "BGP state":
		s.State = value
	case "Neighbor AS":
		number, _ := strconv.ParseInt(value, 10, 64)
		s.NeighborAS = plan.AS(number)
	case "Last error":
		s.LastError = oneLine(value)
	case "Routes":
		number, rest, _ := strings.Cut(value, " ")
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && strings.HasPrefix(rest, "imported") {
			s.Imported += n
		}
	case "Receive limit", "Import limit":
		s.LimitHit = s.LimitHit || strings.HasSuffix(value, "[HIT]")
	}
}

// ParseVersion reads the version from BIRD's "show status".
func ParseVersion(text string) string {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "BIRD" {
			return oneLine(f[1])
		}
	}
	return ""
}

// ParseNow reads from the same what time it is for BIRD, which does not say in which zone.
func ParseNow(text string) (at time.Time) {
	_, text, _ = strings.Cut(text, "Current server time is ")
	text, _, _ = strings.Cut(text, "\n")
	at, _ = time.Parse(time.DateTime, strings.TrimSpace(text)) // zero, if it is none
	return at
}

// knownHole says what is known about a version of BIRD, nothing as a rule. Which of
// BIRD 3 are affected we do not know, so none is named.
func knownHole(version string) string {
	n := birdc.Numbers(version)
	if len(n) < 2 || slices.Compare(n, []int{2, 19, 0}) > 0 {
		return ""
	}
	return fmt.Sprintf(
		"BIRD %s is of those with CVE-2026-49943 (to 2.19.0), unless its package has the fix; this "+
			"configuration is out of its reach (long paths are refused, extended messages off): upgrade BIRD", version)
}

// A birdView is what BIRD said.
type birdView struct {
	sessions map[string]Session
	off      []string // protocols without sessions that somebody disabled
	deaf     []string // those of the site that hear of no interface
	bfd      []birdc.BFDSession
	version  string // such as 2.0.12; empty when it is not told
	now      time.Time
	holder   string // who has TCP 179 instead of BIRD
	drained  plan.Drain
	err      error
}

func observeBird(ctx context.Context, socket string) (v birdView) {
	conn, err := birdc.Dial(ctx, socket)
	if err != nil {
		return birdView{err: err}
	}
	defer func() { _ = conn.Close() }()
	status, err := conn.Command(ctx, "show status")
	if err != nil {
		return birdView{err: err}
	}
	v.version, v.now = ParseVersion(status.Text()), ParseNow(status.Text())
	protocols, err := conn.Command(ctx, "show protocols all")
	if err != nil {
		return birdView{err: err}
	}
	v.sessions, v.off = ParseProtocols(protocols.Text()), ParseOff(protocols.Text())
	v.deaf = birdc.Deaf(status.Text(), protocols.Text())
	bfd, err := conn.Command(ctx, "show bfd sessions")
	// Without any BFD protocol that is a refusal, and means no sessions.
	var refused *birdc.Error
	if err != nil && !errors.As(err, &refused) {
		return birdView{err: err}
	}
	v.bfd = birdc.ParseBFD(bfd.Text())
	drained, err := conn.Command(ctx, "eval "+plan.BirdDrain)
	if err != nil && !errors.As(err, &refused) { // an older text has no such constant
		return birdView{err: err}
	}
	if err == nil {
		v.drained = plan.ParseDrain(oneLine(drained.Text()))
	}
	for _, s := range v.sessions {
		if strings.Contains(s.LastError, noSocket) {
			v.holder = portHolder()
			break
		}
	}
	return v
}

func (v birdView) bfdOf(t plan.StatusTunnel) (birdc.BFDSession, bool) {
	for _, s := range v.bfd {
		if s.Address == t.Address && s.Interface == t.Name {
			return s, true
		}
	}
	return birdc.BFDSession{}, false
}

// untaken asks BIRD for its routes to the wanted prefixes that the kernel does not have. It
// notes those that the kernel has refused.
func untaken(ctx context.Context, r *Request, o *Observation) (out []netip.Prefix) {
	missing := slices.DeleteFunc(slices.Clone(r.Prefixes), func(p plan.StatusPrefix) bool {
		route, found := o.Routes[p.Network]
		return found && !route.Floor
	})
	if len(missing) == 0 {
		return nil
	}
	conn, err := birdc.Dial(ctx, r.Socket)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	for _, p := range missing {
		reply, err := conn.Command(ctx, "show route "+p.Network.String())
		if refused := new(birdc.Error); err != nil && !errors.As(err, &refused) {
			return out
		}
		if err == nil && refusedByKernel(reply.Text()) {
			out = append(out, p.Network)
		}
	}
	return out
}

// refusedByKernel reads the mark of a best route, "unicast [aws_1 14:03:12] ! (100/0) [AS65002i]":
// "*" where the kernel has it.
func refusedByKernel(text string) bool {
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, "] "); ok && strings.HasPrefix(rest, "! ") {
			return true
		}
	}
	return false
}

// oneLine makes one short line of text that another router had a say in.
func oneLine(text string) string { return cause.Line(text, 120) }
