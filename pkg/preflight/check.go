package preflight

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/order"
	"github.com/wgmesh/router/pkg/plan"
)

// addresses asks whether the link networks of the tunnels are already those of
// somebody else on this host, or hide something that it needs.
func addresses(w Want, h Have) []finding {
	var out groups
	for _, t := range w.Plan.Tunnels {
		for _, a := range t.Addresses {
			n, pool := a.Masked(), "mesh_link_pool"
			if a.Addr().Is6() {
				pool += "6"
			}
			if dev, subnet, found := h.subnet(n); found {
				if subnet.Addr() == a.Addr() {
					out.add(dev+a.String(), never(cause.New("%s's address %s is on %s: "+
						"remove it there, or set another %s", t.Name, a.Addr(), dev, pool)))
				} else {
					out.add(dev+subnet.String(), refuse(cause.New("%s's network %s overlaps with %s of %s: "+
						"set another %s", t.Name, n, subnet.Masked(), dev, pool)))
				}
				continue
			}
			if r, found := h.route(n); found {
				f := refuse(cause.New("%s's network %s overlaps with the route to %s by %s on %s: "+
					"set another %s", t.Name, n, r.Network, r.Owner, r.Dev, pool))
				// One that covers the link network loses two addresses, and no more.
				f.harmless = r.Network.Bits() < n.Bits()
				out.add(r.Dev+r.Network.String(), f)
			}
			for _, needed := range sortedAddresses(h.Needed) {
				if n.Contains(needed) {
					out.add(needed.String(), refuse(cause.New("%s's network %s hides %s, %s: set another %s",
						t.Name, n, needed, h.Needed[needed], pool)))
				}
			}
		}
	}
	return out.findings
}

// groups tells once what is so for many.
type groups struct {
	findings []finding
	seen     []string
}

// add adds the first finding of a group.
func (g *groups) add(group string, f finding) {
	if !slices.Contains(g.seen, group) {
		g.findings = append(g.findings, f)
		g.seen = append(g.seen, group)
	}
}

func sortedAddresses(m map[netip.Addr]string) []netip.Addr {
	out := slices.Collect(maps.Keys(m))
	order.By(out, netip.Addr.Compare)
	return out
}

// speaks says what in a bird.conf speaks with other routers, and nothing when nothing does. The
// protocols of the distributions' files do not. What is included may.
func speaks(text string) string {
	before := ""
	for _, word := range words(text) {
		if (before == "protocol" || before == "template") && slices.Contains(speakers, word) {
			return word + " protocol"
		}
		if word == "include" {
			return "line that includes other files"
		}
		before = word
	}
	return ""
}

// words are those of a bird.conf outside of its comments and texts.
func words(text string) []string {
	var code strings.Builder
	for text != "" {
		begin, end := text[:1], ""
		switch {
		case strings.HasPrefix(text, "/*"):
			begin, end = "/*", "*/"
		case begin == "#":
			end = "\n"
		case begin == `"`:
			end = begin
		}
		text = text[len(begin):]
		if end == "" {
			code.WriteString(begin)
			continue
		}
		_, text, _ = strings.Cut(text, end)
		code.WriteByte(' ')
	}
	return strings.FieldsFunc(code.String(),
		func(r rune) bool { return !strings.ContainsRune(plan.Alphanumeric+"_", r) })
}

var speakers = []string{"babel", "bgp", "bmp", "l3vpn", "ospf", "pipe", "radv", "rip", "rpki"}

// bird asks whether the BIRD that is installed will do and may start, and whether it works for somebody
// else already: its configuration would be replaced by the mesh's.
func bird(_ Want, h Have) (out []finding) {
	if h.Bird.Unfit != "" {
		out = append(out, never(cause.New("%s: install bird2 or bird3 of a later release", h.Bird.Unfit)))
	}
	if h.Bird.Masked != "" {
		out = append(out, refuse(cause.New("%s keeps BIRD from starting: run systemctl unmask bird", h.Bird.Masked)))
	}
	if line := speaks(string(h.Bird.Foreign)); line != "" {
		out = append(out, refuse(cause.New("%s has a %s that wgmesh.router did not make: "+
			"move it away, or set mesh_accept to [bird] to have it replaced", h.Bird.Path, line)))
	}
	return out
}

// files asks whether the folders that a run writes to can be written to, and its files replaced.
func files(w Want, h Have) (out []finding) {
	for _, path := range h.Mounts {
		if path == h.Bird.Path || ours(w, path) {
			out = append(out, never(cause.New(
				"%s is a mount point, which cannot be replaced: use a mount of its folder instead", path)))
		}
	}
	folders := map[string]cause.List{}
	for _, folder := range slices.Sorted(maps.Keys(h.Closed)) {
		folders[h.Closed[folder]] = append(folders[h.Closed[folder]], folder)
	}
	for _, why := range slices.Sorted(maps.Keys(folders)) { // one disk, as a rule
		out = append(out, refuse(cause.New("%s: %s: make room and make it writable, since keys and settings go there",
			folders[why], why)))
	}
	return out
}

// ours reports whether a run writes to a file with that path, beside bird.conf.
func ours(w Want, path string) bool {
	folder, name := filepath.Split(path)
	if filepath.Clean(folder) == plan.TunnelDirectory {
		return slices.ContainsFunc(w.Plan.Tunnels, func(t plan.Tunnel) bool { return name == t.Name+".conf" })
	}
	// A folder of ours may well be mounted: those have no ending, or that of drop-ins.
	ending := filepath.Ext(name)
	return strings.HasPrefix(folder, "/etc/") && strings.Contains(name, "wgmesh") && ending != "" && ending != ".d"
}

// interfaces asks whether somebody else has the name of a planned tunnel.
func interfaces(w Want, h Have) (out []finding) {
	for _, t := range w.Plan.Tunnels {
		what, taken := h.Taken[t.Name]
		switch {
		case !taken:
		case what[0] == '/':
			out = append(out, never(cause.New(
				"%s was not made for this mesh: move it away, or set another mesh_interface_prefix", what)))
		default:
			out = append(out, never(cause.New("%s is %s that wgmesh.router did not make: "+
				"remove it, or set another mesh_interface_prefix", t.Name, what)))
		}
	}
	return out
}

// ipv6 asks whether tunnels that are to have IPv6 addresses can have them.
func ipv6(w Want, h Have) []finding {
	if h.NoIPv6 == "" || !w.ipv6() {
		return nil
	}
	return []finding{
		refuse(cause.New("IPv6 is off (%s), and the mesh has IPv6 networks: "+
			"switch it on, or take IPv6 out of mesh_sites", h.NoIPv6)),
	}
}

func (w Want) ipv6() bool {
	return slices.ContainsFunc(w.Plan.Tunnels, func(t plan.Tunnel) bool {
		return slices.ContainsFunc(t.Addresses, func(a netip.Prefix) bool { return a.Addr().Is6() })
	})
}

// machine asks whether the machine's id is the same at the next boot: the keys and the
// tunnels belong to it, and stay down where it is another one.
func machine(w Want, h Have) []finding {
	if h.Passing == "" || !w.Bound {
		return nil
	}
	return []finding{
		refuse(cause.New("the id of this machine is new at each boot (%s): "+
			"make it last, or set mesh_bind_to_machine to false", h.Passing)),
	}
}

// passing says why /etc/machine-id does not last while the keys beside it do.
func passing(etc string) string {
	path := filepath.Join(etc, "machine-id")
	text, err := os.ReadFile(path)
	switch {
	case err != nil:
		return "" // a machine without an id is not told from another
	case strings.TrimSpace(string(text)) == "uninitialized":
		return path + " says uninitialized"
	case inMemory(path) && !inMemory(nearest(filepath.Join(etc, "wireguard"))):
		return path + " is in memory"
	}
	return ""
}

// inMemory reports whether a file is gone after a boot.
func inMemory(path string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(path, &fs) == nil && (fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC)
}

// nearest is a folder, or the nearest above it that there is.
func nearest(folder string) string {
	for folder != "/" {
		if _, err := os.Stat(folder); err == nil {
			break
		}
		folder = filepath.Dir(folder)
	}
	return folder
}

// networks asks whether a subnet of this host is in a network of another site, as
// Docker's are now and then: what is meant for that site would go there. A route of
// somebody else goes before the mesh's too, and may be what is to be replaced by it.
func networks(w Want, h Have) []finding {
	var out groups
	own := func(a netip.Addr) bool {
		return slices.ContainsFunc(w.Plan.Status.SourceNetworks, func(n netip.Prefix) bool { return n.Contains(a) })
	}
	for _, owner := range w.Plan.Bird.Owners {
		if owner.AS == w.Plan.Bird.AS {
			continue
		}
		for _, n := range owner.Networks {
			if dev, subnet, found := h.subnet(n); found && !own(subnet.Addr()) {
				out.add(dev+n.String(), refuse(cause.New("%s of %s overlaps with %s of site %s: "+
					"give one of them others, or set mesh_accept to [networks]", subnet.Masked(), dev, n,
					owner.Site)))
				continue
			}
			if r, found := h.route(n); found && r.Network.Bits() >= n.Bits() && !own(r.Network.Addr()) {
				out.add(n.String(),
					warn(cause.New("a route to %s by %s on %s goes before the mesh's to site %s: remove it", r.Network,
						r.Owner, r.Dev, owner.Site)))
			}
		}
	}
	return out.findings
}

// ping asks whether the host answers ping, by which the others see that it is there.
func ping(w Want, h Have) (out []finding) {
	off := []string{h.NoPing}
	if w.ipv6() {
		off = append(off, h.NoPing6)
	}
	for _, what := range off {
		if what != "" {
			out = append(out, warn(cause.New(
				"this router answers no ping (%s), by which the others see that it is there: set it to 0", what)))
		}
	}
	return out
}

// ports asks who else holds the ports of the tunnels and of BIRD.
func ports(w Want, h Have) (out []finding) {
	for _, t := range w.Plan.Tunnels {
		if owner := h.UDP[t.ListenPort]; owner != "" {
			out = append(out, refuse(cause.New("UDP %d is held by %s, and %s needs it: "+
				"stop it, or set another mesh_port_base", t.ListenPort, owner, t.Name)))
		}
	}
	if owner := h.TCP[plan.BGPPort]; owner != "" {
		out = append(out, refuse(cause.New("TCP %d is held by %s, and BIRD needs it for BGP: "+
			"stop it, or have it listen on another port", plan.BGPPort, owner)))
	}
	if owner := h.UDP[plan.BFDPort]; owner != "" {
		out = append(out, refuse(cause.New("UDP %d is held by %s, and BIRD needs it for BFD: "+
			"stop it, since a host has one BFD daemon", plan.BFDPort, owner)))
	}
	return out
}

// programs asks whether what the modules run is installed, and whether the image play has come to
// its end: without what it brings last, such as units, a router works until its next boot.
func programs(_ Want, h Have) []finding {
	switch {
	case len(h.No) > 0:
		return []finding{
			refuse(cause.New("not installed: %s: run the image play (wgmesh.router.image) on this host first",
				cause.List(h.No))),
		}
	case h.Unmade:
		return []finding{
			// Without its name: Ansible says once what many hosts warn of in the same words.
			warn(cause.New("the image play has not come to its end here (no %s): run wgmesh.router.image",
				plan.ImageFile)),
		}
	}
	return nil
}

func unmade() bool {
	_, err := os.Stat(plan.ImageFile)
	return errors.Is(err, fs.ErrNotExist)
}
