package wg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	filters "github.com/wgmesh/router/pkg/filter"
	"github.com/wgmesh/router/pkg/plan"
)

// Observe reads everything that w is about. It writes nothing. A key file that is missing
// is not an error here, a private one that is not safe to use is.
func Observe(ctx context.Context, r Reader, w Want) (Have, error) {
	s := Have{
		PresharedKeys: map[string]Fingerprint{}, Unreadable: map[string]error{}, Interfaces: map[string]Interface{},
		Now: time.Now(),
	}
	files, err := r.Files()
	if err != nil {
		return Have{}, fmt.Errorf("wg-quick files: %w", err)
	}
	links, err := r.Links()
	if err != nil {
		return Have{}, fmt.Errorf("network interfaces: %w", err)
	}
	names := w.names()
	for name, f := range files {
		if f.Ours {
			names[name] = struct{}{}
		}
	}
	s.Elsewhere = elsewhere(links, names)
	units, err := r.Units(ctx, sortedKeys(names))
	if err != nil {
		return Have{}, fmt.Errorf("wg-quick units: %w", err)
	}
	s.Systemd = units != nil
	var errs []error
	live := devices(r, sortedKeys(names), links)
	for _, name := range sortedKeys(names) {
		i := Interface{Unit: units[name]}
		if f, ok := files[name]; ok {
			i.File = &f
		}
		if l, ok := links[name]; ok {
			l.Addresses = slices.DeleteFunc(l.Addresses, func(a netip.Prefix) bool {
				return a.Addr().IsLinkLocalUnicast() && a.Addr().Is6() && !w.hasAddress(name, a)
			})
			i.Link = &l
			i.Device, i.Silent = live[name].Device, live[name].Silent
			if i.Silent != nil && l.Kind == kindKernel { // else a process: only this one tunnel stays as it is
				errs = append(errs, fmt.Errorf("%s: %w", name, i.Silent))
			}
		}
		s.Interfaces[name] = i
	}
	s.Ports, err = r.Ports(w.ports(s), sortedKeys(names))
	errs = append(errs, err)
	s.MSS, err = r.MSS(ctx)
	if err != nil && s.MSS.File == "" && !w.wantsTable() && filters.Harmless(err.Error()) {
		err = nil // where nft does not work there is no table
	}
	errs = append(errs, err, s.readKeys(r, w))
	s.Unloaded, err = r.Unloaded(ctx, w.Tables)
	errs = append(errs, err)
	s.Boot, err = r.Boot()
	errs = append(errs, err)
	return s, errors.Join(errs...)
}

// elsewhere are the addresses of the links that are none of names.
func elsewhere(links map[string]Link, names map[string]struct{}) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for name, l := range links {
		if _, known := names[name]; known {
			continue
		}
		for _, a := range l.Addresses {
			if !a.Addr().Is6() || !a.Addr().IsLinkLocalUnicast() { // that is one of a link
				out[a.Addr()] = name
			}
		}
	}
	return out
}

// devices asks for all of them, and the processes at the same time: each that hangs takes seconds to be known.
func devices(r Reader, names []string, links map[string]Link) map[string]Interface {
	answers := make([]Interface, len(names))
	var all sync.WaitGroup
	for n, name := range names {
		ask := func() { answers[n].Device, answers[n].Silent = device(r, name, links[name]) }
		if links[name].Kind == kindUserspace {
			all.Go(ask)
		} else {
			ask()
		}
	}
	all.Wait()
	out := map[string]Interface{}
	for n, name := range names {
		out[name] = answers[n]
	}
	return out
}

// device asks for name, and returns nil when nothing answers. The link decides
// whether there is an interface at all: sockets of userspace devices outlive
// their process, and network namespaces share them.
func device(r Reader, name string, l Link) (*Device, error) {
	if l.Kind != kindKernel && l.Kind != kindUserspace {
		return nil, nil
	}
	d, err := r.Device(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read WireGuard state: %w", err)
	}
	return &d, nil
}

func (s *Have) readKeys(r Reader, w Want) error {
	var errs []error
	key, err := r.PublicKey(w.PrivateKeyFile)
	// A damaged one is in the way of no removal.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && len(w.Tunnels) > 0 {
		errs = append(errs, fmt.Errorf("private_key_file: %w", err))
	}
	s.PublicKey = key
	for _, t := range w.Tunnels {
		for _, p := range t.Peers {
			if p.PresharedKeyFile == "" {
				continue
			}
			f, err := r.Fingerprint(p.PresharedKeyFile)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				s.Unreadable[p.PresharedKeyFile] = err // only this one tunnel stays as it is
			default:
				s.PresharedKeys[p.PresharedKeyFile] = f
			}
		}
	}
	return errors.Join(errs...)
}

func (w Want) hasAddress(name string, a netip.Prefix) bool {
	return slices.ContainsFunc(w.Tunnels, func(t plan.Tunnel) bool {
		return t.Name == name && slices.Contains(t.Addresses, a)
	})
}

// ports are those that are wanted and that no interface of s has.
func (w Want) ports(s Have) []int {
	var out []int
	for _, t := range w.Tunnels {
		if d := s.Interfaces[t.Name].Device; t.ListenPort != 0 && (d == nil || d.ListenPort != t.ListenPort) {
			out = append(out, t.ListenPort)
		}
	}
	return out
}

// names is the set of wanted interfaces.
func (w Want) names() map[string]struct{} {
	out := make(map[string]struct{}, len(w.Tunnels))
	for _, t := range w.Tunnels {
		out[t.Name] = struct{}{}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// A Survey says whose the WireGuard interfaces of a host are.
type Survey struct {
	Ours   map[string]bool   // interfaces that were made for this mesh, and wanted ones that nobody else has
	Taken  map[string]string // wanted names that somebody else has, and by what
	Listen map[int]string    // UDP ports of the kernel's WireGuard interfaces, and their names
}

// Look surveys a host. It reads no unit and no filter, so it is quick.
func Look(r Reader, w Want) (Survey, error) {
	s := Survey{Ours: map[string]bool{}, Taken: map[string]string{}, Listen: map[int]string{}}
	files, err := r.Files()
	if err != nil {
		return s, err
	}
	links, err := r.Links()
	if err != nil {
		return s, err
	}
	// A key file that is not in order is wg_keypair's to refuse.
	own, _ := r.PublicKey(w.PrivateKeyFile)
	for name, f := range files {
		s.Ours[name] = w.made(&f)
	}
	for _, t := range w.Tunnels {
		name := t.Name
		var now Interface
		if f, found := files[name]; found {
			now.File = &f
		}
		if l, found := links[name]; found {
			now.Link = &l
			if now.File == nil || now.File.Blank {
				if now.Device, err = device(r, name, l); err != nil {
					return s, fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		s.Ours[name] = true
		if foreign(w, t, now, own) != nil {
			s.Ours[name], s.Taken[name] = false, w.taker(name, now)
		}
	}
	for _, name := range sortedKeys(links) {
		if links[name].Kind == kindKernel {
			d, err := r.Device(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return s, err
			}
			s.Listen[d.ListenPort] = name
		}
	}
	return s, nil
}

// taker says what of somebody else has the name of an interface.
func (w Want) taker(name string, now Interface) string {
	switch {
	case now.File != nil && !now.File.Blank:
		return filepath.Join(w.Directory, name+".conf")
	case now.Link.Kind == kindKernel:
		return "a WireGuard interface"
	case now.Link.Kind == kindUserspace:
		return "a tun interface"
	}
	return "a " + now.Link.Kind + " interface"
}
