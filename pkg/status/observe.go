package status

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
)

// An Observation is the state of one router at one time, in the order of the request's lists.
type Observation struct {
	At      time.Time
	Tunnels []TunnelState
	// BirdErr tells why BIRD could not be asked.
	BirdErr error
	// BirdMasked is what keeps systemd from starting BIRD, when it does not run.
	BirdMasked string
	// PortHolder is who listens on TCP 179 instead of BIRD; empty: nobody.
	PortHolder  string
	BirdVersion string
	// Off are BIRD's protocols without sessions that somebody disabled.
	Off []string
	// Deaf are those of the site that BIRD 3 tells of no interface any more.
	Deaf []string
	// BirdNow is the time of BIRD's clock, without its zone; zero: it is not told.
	BirdNow time.Time
	// Drained is the router's own drain, as its BIRD has it.
	Drained plan.Drain
	// Made are the times of keys and the image, which other packages know, and Reboot is
	// what says that one is required (RebootBy), or empty.
	Made   []Made
	Reboot string
	// Closed are folders that a change writes to and cannot, and why.
	Closed map[string]string
	// Unready is what the next boot lacks that makes this router what it is now, by the play that mends it.
	Unready map[string][]string
	// BootErr is why some of that is not known.
	BootErr error
	// Defeated are settings of files that are read after the mesh's.
	Defeated []string
	// OtherBuild are the programs here that are of another build than this one, by their paths.
	OtherBuild []string
	// AnsibleDead says that the Ansible with which it joins by itself cannot start.
	AnsibleDead bool
	// ClockFree says that nothing keeps the clock right, as far as the kernel knows.
	ClockFree bool
	// UndoFails is why a change that is to be taken back cannot be; empty: nothing is known.
	UndoFails string
	// FailoverRuns reports whether the daemon of Failover runs, which others know as well.
	FailoverRuns bool
	// Watched is what it was told to watch, of which it may not know all.
	Watched plan.Failover
	// FailoverFails is what it says of a table that it cannot move; empty: nothing.
	FailoverFails string
	// FailoverRests are the tables of which it has nothing left to do.
	FailoverRests []string
	Routes        map[netip.Prefix]Route
	// Refused are the networks that the floor refuses.
	Refused []netip.Prefix
	// Untaken are those of BIRD's routes to wanted prefixes that the kernel has refused.
	Untaken []netip.Prefix
	// RoutesErr tells why the kernel's routes could not be read.
	RoutesErr error
	Targets   []TargetState
	// MissingTables are about tables that are not there, when Probed.
	MissingTables []cause.Cause
	// Forwarding is what the kernel does with what it is to forward, when Probed.
	Forwarding Forwarding
	// Crossings are pings that other routers had to forward, and Hosts those of the own
	// site that the request names, when Probed.
	Crossings []*crossing
	Hosts     []TargetState
	// Gateways are the next hops into the own site, when Probed.
	Gateways []Gateway
	// Probed reports whether pings were sent.
	Probed bool
}

// A TunnelState is what was seen of one tunnel.
type TunnelState struct {
	Device    Device
	DeviceErr error
	// Session is nil when BIRD has no protocol of that name.
	Session *Session
	BFD     *birdc.BFDSession
	// RxGrew says that packets of the peer were accepted while waiting.
	RxGrew bool
	// Still says that none were while pings were sent; BFD alone sends one each second.
	Still bool
	// The results of pings, valid only if Probed.
	RTT      time.Duration
	PingErr  error // small packets
	WholeErr error // packets of the tunnel's MTU, without fragments
	PathMTU  int   // largest size in bytes that got through; 0: not known
	// EndpointAnswers says that the peer's endpoint answers ping outside of the tunnel. It
	// is asked only when the handshake is missing, or when it is not the planned one.
	EndpointAnswers bool
	PlannedErr      error // of a ping to the planned endpoint, valid only if elsewhere
}

// A TargetState is what a ping to another router's site address told.
type TargetState struct {
	From netip.Addr // not valid: no own address in the source networks
	Self bool       // the address is this host's own: nothing to ask
	RTT  time.Duration
	Err  error
}

// Observe looks at everything at once. With probes it also pings; then it
// takes as long as the slowest answer, or the probe timeout if one is missing.
func Observe(ctx context.Context, r Request, probes bool) Observation {
	o := Observation{
		At: time.Now(), Probed: probes,
		Tunnels: make([]TunnelState, len(r.Tunnels)), Targets: make([]TargetState, len(r.Reach)),
	}
	var all sync.WaitGroup
	var bird birdView
	all.Go(func() { bird = observeBird(ctx, r.Socket) })
	all.Go(func() { o.Routes, o.Refused, o.RoutesErr = observeRoutes(ctx, r.Prefixes, r.Floor) })
	for i, t := range r.Tunnels {
		all.Go(func() { o.Tunnels[i] = observeTunnel(ctx, &r, t, probes) })
	}
	if probes {
		all.Go(func() { o.MissingTables = missingTables(ctx, r.NFTables) })
		o.Forwarding = observeForwarding(ctx, &r) // here: /proc/sys/net is the thread's
		all.Go(func() { o.Gateways = observeGateways(ctx, &o.Forwarding, r.timeout()) })
		own := observeTargets(ctx, &r, r.Reach, o.Targets, &all)
		o.Crossings = r.crossings(own)
		all.Go(func() { cross(ctx, o.Crossings, r.timeout()) })
		if len(r.SourceNetworks) > 0 {
			var hosts []Target
			for _, a := range r.Probe {
				hosts = append(hosts, Target{Address: a})
			}
			o.Hosts = make([]TargetState, len(hosts))
			observeTargets(ctx, &r, hosts, o.Hosts, &all)
		}
	}
	o.ClockFree = clockFree()
	all.Wait()
	o.notAllowed(&r)

	o.BirdErr, o.BirdVersion, o.PortHolder, o.Drained = bird.err, bird.version, bird.holder, bird.drained
	if errors.Is(o.BirdErr, birdc.ErrNotRunning) {
		o.BirdMasked = program.Masked("bird.service")
	}
	o.BirdNow, o.Off, o.Deaf = bird.now, bird.off, bird.deaf
	if o.BirdErr == nil && o.RoutesErr == nil {
		o.Untaken = untaken(ctx, &r, &o)
	}
	for i, t := range r.Tunnels {
		if s, ok := bird.sessions[t.Neighbor]; ok {
			o.Tunnels[i].Session = &s
		}
		if s, ok := bird.bfdOf(t); ok {
			o.Tunnels[i].BFD = &s
		}
	}
	return o
}

func observeTunnel(ctx context.Context, r *Request, t plan.StatusTunnel, probes bool) (s TunnelState) {
	if s.Device, s.DeviceErr = observeDevice(t); s.DeviceErr != nil || !probes || s.Device.Peer == nil {
		return s
	}
	before := s.Device.Peer.Rx
	var all sync.WaitGroup
	outside := func(at netip.AddrPort) error {
		_, err := ping(ctx, probe{to: at.Addr(), payload: smallProbe, timeout: r.timeout()})
		return err
	}
	elsewhere := s.elsewhere(t)
	if p := s.Device.Peer; p.Endpoint.IsValid() && (elsewhere || s.stale(time.Now())) {
		all.Go(func() { s.EndpointAnswers = outside(p.Endpoint) == nil })
	}
	if elsewhere {
		all.Go(func() { s.PlannedErr = outside(t.Endpoint) })
	}
	all.Go(func() {
		s.RTT, s.PingErr = ping(ctx, probe{to: t.Address, device: t.Name, payload: smallProbe, timeout: r.timeout()})
	})
	if t.MTU > 0 {
		all.Go(func() { s.WholeErr = pingWhole(ctx, r, t, t.MTU) })
	}
	all.Wait()
	if s.PingErr == nil && s.WholeErr != nil {
		s.PathMTU = pathMTU(ctx, r, t)
	} else if s.WholeErr == nil {
		s.PathMTU = t.MTU
	}
	// The ping itself may have brought about the handshake of an idle tunnel.
	s.Device, s.DeviceErr = observeDevice(t)
	s.Still = s.Device.Peer != nil && s.Device.Peer.Rx == before
	return s
}

// pingWhole sends one IP packet of exactly size bytes that must not be cut.
func pingWhole(ctx context.Context, r *Request, t plan.StatusTunnel, size int) error {
	_, err := ping(ctx, probe{
		to: t.Address, device: t.Name, payload: size - header(t.Address), whole: true, timeout: r.timeout(),
	})
	return err
}

// pathMTU finds the largest packet that gets through, to within 20 bytes. All
// sizes are tried at the same time.
func pathMTU(ctx context.Context, r *Request, t plan.StatusTunnel) int {
	const step, least = 20, 576
	var sizes []int
	for size := t.MTU - step; size >= least; size -= step {
		sizes = append(sizes, size)
	}
	through := make([]bool, len(sizes))
	var all sync.WaitGroup
	for i, size := range sizes {
		all.Go(func() { through[i] = pingWhole(ctx, r, t, size) == nil })
	}
	all.Wait()
	if i := slices.Index(through, true); i >= 0 {
		return sizes[i]
	}
	return 0
}

// observeTargets pings every target from the own address in the site. It returns the own addresses.
func observeTargets(ctx context.Context, r *Request, targets []Target, states []TargetState,
	all *sync.WaitGroup,
) []netip.Addr {
	own, err := ownAddresses()
	for i, target := range targets {
		s := &states[i]
		if s.Err = err; err != nil {
			continue
		}
		if s.Self = slices.Contains(own, target.Address); s.Self {
			continue
		}
		s.From = source(own, r.SourceNetworks, target.Address)
		if !s.From.IsValid() && len(r.SourceNetworks) > 0 {
			continue
		}
		all.Go(func() {
			s.RTT, s.Err = ping(ctx, probe{to: target.Address, from: s.From, payload: reachProbe, timeout: r.timeout()})
		})
	}
	return own
}

// source chooses the own address of the family of to that is in the networks.
// Without networks the kernel chooses.
func source(own []netip.Addr, networks []netip.Prefix, to netip.Addr) netip.Addr {
	for _, addr := range own {
		if addr.Is4() != to.Is4() || addr.IsLinkLocalUnicast() {
			continue
		}
		if slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) }) {
			return addr
		}
	}
	return netip.Addr{}
}
