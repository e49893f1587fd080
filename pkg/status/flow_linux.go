package status

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/fib"
	"github.com/wgmesh/router/pkg/filter"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// The ways of a packet that a router is there for.
const (
	inward  = iota // out of a tunnel, into the own site
	outward        // from the own site to another one, also out of the tunnel to its other router
	own            // what the router itself sends to another site
)

// A flow is one such packet.
type flow struct {
	fib.Flow
	way     int
	network netip.Prefix // that it goes to
	site    string       // of the network; empty: the own one
	from    netip.Prefix // the network that it comes from
	detour  bool         // its way back is another one
	exact   bool         // the network is one of the request, not a part of one
	needed  bool         // from one other site to another one, which have no tunnel
	answer  fib.Answer
	reason  fib.Reason // what the answer is due to
	main    string     // where the table main alone would send it
	ours    string     // where BIRD's route for the network leads; empty: it has none
}

// Forwarding is what the kernel does with packets between the sites.
type Forwarding struct {
	flows   []flow
	spare   []spare
	tables  fib.Tables
	filters filter.Ruleset
	cuts    []netip.Addr      // where something begins or ends that a rule or a filter asks for
	told    map[half]int      // how often packets with this end were asked for
	sysctls map[string]string // those that matter, by their names
	// programs may drop or divert packets where no filter sees it.
	programs []string
	unread   error // why something of that is not known
	err      error
}

// mostParts bounds the routes inside of one network that are asked for, each by itself.
const mostParts = 32

// observeForwarding asks the kernel for each way. Without networks of the own site
// it is not known what is to be forwarded.
func observeForwarding(ctx context.Context, r *Request) (f Forwarding) {
	if len(r.SourceNetworks) == 0 || len(r.Tunnels) == 0 {
		return f
	}
	addresses, err := ownAddresses()
	if err != nil {
		return Forwarding{err: err}
	}
	f.tables, err = fib.Read(ctx, r.has(netip.Addr.Is4), r.has(netip.Addr.Is6))
	if err != nil {
		return Forwarding{err: err}
	}
	f.filters = filter.Read(ctx)
	f.follow(r, addresses, plenty)
	return f
}

// follow asks for packets on each way: for the first ones, and then for those that differ
// from all before.
func (f *Forwarding) follow(r *Request, addresses []netip.Addr, plenty int) {
	f.cut()
	devices := map[string]bool{}
	sources := make([][]flow, len(r.Tunnels))
	for i, t := range r.Tunnels {
		sources[i] = f.sourcesOf(r, t)
	}
	into := f.targets(r, r.SourceNetworks, addresses)
	var ends []*end
	for _, to := range into {
		to.way = inward
		if to.exact {
			ends = append(ends, &end{network: to.network, address: to.Dst, main: to.main})
		}
		for i, t := range r.Tunnels {
			devices[t.Name] = true
			for _, from := range sources[i] {
				f.pair(from, to, plenty)
			}
		}
	}
	doors := append(f.doorsOf(into, devices), f.siblings(r, into)...)
	for i := range r.Prefixes {
		p := &r.Prefixes[i]
		for _, to := range f.targets(r, []netip.Prefix{p.Network}, addresses) {
			to.way, to.site = outward, p.Site
			mine := f.tables.Main(to.Flow).Route.Type == unix.RTN_LOCAL
			if to.exact && !devices[to.main] && !mine {
				continue // that is said of the network already
			}
			if to.exact && p.AS != 0 && !mine { // by which its tunnels are known
				ends = append(ends, &end{p, to.network, to.Dst, to.main})
			}
			for _, door := range doors {
				if devices[door.In] && (!devices[to.main] || to.main == door.In) {
					continue // no other router sends that here
				}
				f.pair(door, to, plenty)
			}
			if from := source(addresses, r.SourceNetworks, to.Dst); from.IsValid() {
				to.way, to.In, to.Src, to.from = own, "", from, netip.PrefixFrom(from, from.BitLen())
				f.add(to)
			}
		}
	}
	f.spares(r, few(ends, len(r.Tunnels)), devices)
	for _, d := range doors {
		devices[d.In] = true
	}
	f.sysctls, f.unread = readSysctls("/", devices)
	f.unread = cmp.Or(f.tables.Unread, f.unread)
	for _, d := range slices.Sorted(maps.Keys(devices)) {
		programs, err := fib.Programs(d)
		f.programs, f.unread = append(f.programs, programs...), cmp.Or(f.unread, err)
	}
}

// doorsOf are the devices by which the own site's packets come in.
func (f *Forwarding) doorsOf(into []flow, tunnels map[string]bool) (doors []flow) {
	for _, to := range into {
		if tunnels[to.main] || to.main == "" || slices.ContainsFunc(doors, func(d flow) bool {
			return d.In == to.main && d.from == to.network
		}) {
			continue
		}
		doors = append(doors, f.from(to.main, to.network, to.Dst))
	}
	return doors
}

// siblings are the tunnels to other routers of the own site: one that has lost its way to
// another site sends the own site's packets for it here.
func (f *Forwarding) siblings(r *Request, into []flow) (doors []flow) {
	for _, t := range r.Tunnels {
		for _, to := range into {
			if to.exact && r.isSibling(&t) {
				doors = append(doors, f.from(t.Name, to.network, to.Dst))
			}
		}
	}
	return doors
}

// from is what comes by a device from an address in a network.
func (f *Forwarding) from(device string, n netip.Prefix, a netip.Addr) flow {
	return flow{
		Flow: fib.Flow{In: device, Src: a}, from: n,
		detour: f.tables.Reason(fib.Flow{Dst: a}).Device() != device,
	}
}

// add asks for a packet.
func (f *Forwarding) add(x flow) *flow {
	x.answer, x.reason, x.main, x.ours = f.tables.Ask(x.Flow), f.tables.Reason(x.Flow),
		f.tables.Main(x.Flow).Device(), f.tables.Bird(x.network)
	f.flows = append(f.flows, x)
	return &f.flows[len(f.flows)-1]
}

func (r *Request) has(family func(netip.Addr) bool) bool {
	return slices.ContainsFunc(r.SourceNetworks, func(n netip.Prefix) bool { return family(n.Addr()) })
}

// targets chooses an address in each network, and in each part of one that has a
// route of its own. IPv6 counts where the own site has it.
func (f *Forwarding) targets(r *Request, networks []netip.Prefix, taken []netip.Addr) (out []flow) {
	for _, n := range networks {
		if !r.speaks(n.Addr()) {
			continue
		}
		inside, swallowed := f.tables.Inside(n), f.swallowed(r, n)
		parts := slices.Concat(inside, swallowed)
		for i, part := range slices.Concat([]netip.Prefix{n}, inside[:min(len(inside), mostParts)],
			swallowed[:min(len(swallowed), mostParts)]) {
			mine := taken
			if slices.Contains(swallowed, part) {
				mine = nil
			}
			if a := someone(part, append(slices.Clone(parts), part), mine); a.IsValid() {
				to := flow{Flow: fib.Flow{Dst: a}, network: part, exact: i == 0}
				to.main = f.tables.Main(to.Flow).Device()
				out = append(out, to)
			}
		}
	}
	return out
}

// swallowed are the parts of another site's network that the host takes for addresses of its
// own. One in a network of the own site is: its own address, or one that floats.
func (f *Forwarding) swallowed(r *Request, n netip.Prefix) []netip.Prefix {
	if slices.Contains(r.SourceNetworks, n) {
		return nil
	}
	return slices.DeleteFunc(f.tables.Own(n), func(p netip.Prefix) bool {
		return slices.ContainsFunc(r.SourceNetworks, func(own netip.Prefix) bool { return own.Contains(p.Addr()) })
	})
}

// someone is an address in a network that may be a machine's: not the host's own, not the first or
// last one, and in no smaller one of the parts. Not valid: there is none that is easy to find.
func someone(n netip.Prefix, parts []netip.Prefix, taken []netip.Addr) netip.Addr {
	if n.IsSingleIP() {
		if slices.Contains(taken, n.Addr()) {
			return netip.Addr{}
		}
		return n.Addr()
	}
	a := filter.Last(n)
	for range 64 {
		a = a.Prev()
		if !a.IsValid() || !n.Contains(a) || a == n.Addr() && n.Bits() < n.Addr().BitLen()-1 {
			break
		}
		smaller := slices.IndexFunc(parts, func(p netip.Prefix) bool { return p.Bits() > n.Bits() && p.Contains(a) })
		if smaller >= 0 {
			a = parts[smaller].Masked().Addr()
			continue
		}
		if !slices.Contains(taken, a) {
			return a
		}
	}
	return netip.Addr{}
}

// sourcesOf are the networks from which packets come out of a tunnel: those of the
// peer's site, or behind a router of the own site, of each other one.
func (f *Forwarding) sourcesOf(r *Request, t plan.StatusTunnel) (out []flow) {
	networks := t.Networks
	if r.isSibling(&t) {
		networks = nil
		for _, p := range r.Prefixes {
			networks = append(networks, p.Network)
		}
	}
	for _, n := range networks {
		if a := someone(n, nil, nil); a.IsValid() {
			out = append(out, f.from(t.Name, n, a))
		}
	}
	return out
}

// readSysctls reads what decides about forwarding, on the host and on the
// interfaces. What does not exist is left out.
func readSysctls(root string, devices map[string]bool) (out map[string]string, unread error) {
	names := []string{
		"net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter", "net.ipv4.icmp_echo_ignore_all",
		"net.ipv6.conf.all.forwarding", "net.ipv6.conf.all.disable_ipv6", "net.ipv6.icmp.echo_ignore_all",
		conntrackCount, conntrackMax, "net.ipv4.neigh.default.gc_thresh3", "net.ipv6.neigh.default.gc_thresh3",
	}
	for d := range devices {
		for _, key := range []string{
			"net.ipv4.conf.%.rp_filter", "net.ipv4.conf.%.forwarding", "net.ipv6.conf.%.disable_ipv6",
		} {
			names = append(names, strings.Replace(key, "%", strings.ReplaceAll(d, ".", "/"), 1))
		}
	}
	out = map[string]string{}
	for _, name := range names {
		path := strings.NewReplacer(".", "/", "/", ".").Replace(name)
		value, err := os.ReadFile(filepath.Join(root, "proc/sys", path))
		switch {
		case err == nil:
			out[name] = strings.TrimSpace(string(value))
		case !errors.Is(err, fs.ErrNotExist):
			unread = cmp.Or(unread, err)
		}
	}
	for name, path := range map[string]string{"net.ipv4.neigh": "arp_cache", "net.ipv6.neigh": "ndisc_cache"} {
		// None in a namespace, which has no such limit of its own.
		text, _ := os.ReadFile(filepath.Join(root, "proc/net/stat", path))
		out[name] = parseNeighbours(string(text))
	}
	return out, unread
}

// parseNeighbours reads how many entries a table of neighbours has, if it has refused one since the boot
// (neigh_stat_seq_show in net/core/neighbour.c): the entries come first, the refusals last, for each processor.
func parseNeighbours(text string) (entries string) {
	for i, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if i == 0 || len(f) < 2 {
			continue
		}
		n, err := strconv.ParseUint(f[0], 16, 32)
		refused, later := strconv.ParseUint(f[len(f)-1], 16, 64)
		if err == nil && later == nil && refused > 0 {
			entries = strconv.FormatUint(n, 10)
		}
	}
	return entries
}

// plenty is for how many packets the kernel is asked, whatever the others told. Of a hundred
// routers with thirty networks each there were 170,000.
const plenty = 500

// enough is how often what fails is asked for: other packets may fail by something else.
const enough = 3

// A half is one end of packets that come by a device, and of the other end its kind alone:
// all of these have the same answers, as far as this end goes.
//
// What the kernel does with a packet that comes by a device is due to its target and what
// rules say of its source, and to the way back to its source and what rules say of its
// target and of the device that it leaves by. Filters see no more of it.
type half struct {
	in      string
	network netip.Prefix
	target  bool // this end is the target
	exact   bool
	other   kind
}

// A kind of addresses is those that no rule, policy or filter can tell apart.
type kind struct {
	first, last, at int    // how many cuts are below the network's ends, and the address
	out             string // of a target: where the table main leads
}

func (f *Forwarding) kind(n netip.Prefix, a netip.Addr) kind {
	return kind{first: f.below(n.Masked().Addr()), last: f.below(filter.Last(n)), at: f.below(a)}
}

func (f *Forwarding) below(a netip.Addr) int {
	i, found := slices.BinarySearchFunc(f.cuts, a, netip.Addr.Compare)
	if found {
		i++
	}
	return i
}

// cut notes where the networks begin and end that anything here asks for.
func (f *Forwarding) cut() {
	f.told = map[half]int{}
	for _, n := range slices.Concat(f.tables.Named(), f.filters.Named) {
		f.cuts = append(f.cuts, n.Masked().Addr(), filter.Last(n).Next())
	}
	order.By(f.cuts, netip.Addr.Compare)
	f.cuts = slices.Compact(f.cuts)
}

// pair asks for a packet from a source to a target, unless both ends are known.
func (f *Forwarding) pair(from, to flow, plenty int) {
	if from.Src.Is4() != to.Dst.Is4() {
		return
	}
	source := half{in: from.In, network: from.from, other: f.kind(to.network, to.Dst)}
	target := half{in: from.In, network: to.network, target: true, exact: to.exact, other: f.kind(from.from, from.Src)}
	source.other.out = to.main
	if len(f.flows) >= plenty && f.told[source] >= enough && f.told[target] >= enough {
		return
	}
	to.In, to.Src, to.from, to.detour = from.In, from.Src, from.from, from.detour
	x, times := f.add(to), 1
	switch {
	case len(x.reason.Route.MultiPath) > 0, x.answer.Err == nil && x.answer.Device != x.reason.Device():
		times = 0 // each may go another way
	case x.answer.Err == nil:
		times = enough
	}
	f.told[source] += times
	f.told[target] += times
}
