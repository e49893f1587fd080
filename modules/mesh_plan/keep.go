package meshplan

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/wg"
)

// renumbers refuses a default that would give other addresses to tunnels which the
// router has already.
func (o Options) renumbers(p plan.Plan) error {
	if o.TunnelDirectory == "" {
		return nil
	}
	pool, err := netip.ParsePrefix(o.LinkPool)
	if err != nil {
		return err // Plan has parsed it
	}
	for _, t := range p.Tunnels {
		have := madeAddress(filepath.Join(o.TunnelDirectory, t.Name+".conf"))
		if !have.IsValid() || pool.Contains(have.Addr()) || slices.Contains(t.Addresses, have) {
			continue
		}
		was := "its network"
		if before := netip.MustParsePrefix("172.31.0.0/16"); before.Contains(have.Addr()) { // the default until 0.3.0
			was = before.String()
		}
		return cause.New("%s has %s, mesh_link_pool is not set and its default is %s: "+
			"set it to %s, or to another one to renumber", t.Name, have, pool, was)
	}
	return nil
}

// madeAddress is the IPv4 address in the file of a tunnel that wg_tunnel made, or zero.
func madeAddress(file string) netip.Prefix {
	raw, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(raw), wg.Mark) {
		return netip.Prefix{}
	}
	for line := range strings.Lines(string(raw)) {
		if value, found := strings.CutPrefix(line, "Address = "); found {
			if a, err := netip.ParsePrefix(strings.TrimSpace(value)); err == nil && a.Addr().Is4() {
				return a
			}
		}
	}
	return netip.Prefix{}
}
