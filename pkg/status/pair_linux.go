package status

import (
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/filter"
	"github.com/wgmesh/router/pkg/order"
)

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
