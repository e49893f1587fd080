package wg

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

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
