package wg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/mark"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/program"
)

// Before is what an interface was before a change, besides its file.
type Before struct {
	Directory string `json:"directory"` // of its wg-quick file
	Up        bool   `json:"up"`        // there was an interface
	Enabled   bool   `json:"enabled"`   // at boot
	// 0: not known, as to a version before these fields
	MTU        int `json:"mtu,omitempty"`
	ListenPort int `json:"listen_port,omitempty"`
}

// Touched lists what the changes of d touch: the files, as absolute paths, and the
// interfaces as they are now.
func Touched(w Want, s Have, d Delta) (files []string, interfaces map[string]Before) {
	interfaces = map[string]Before{}
	add := func(name string) {
		path := filepath.Join(w.Directory, name+".conf")
		files = append(files, path, path+".good", path+".damaged")
		if s.Systemd {
			files = append(files, networkdPath(networkdFolder, name))
		}
		now := s.Interfaces[name]
		was := Before{Directory: w.Directory, Up: now.Link != nil, Enabled: now.Unit.Enabled}
		if now.Link != nil {
			was.MTU = now.Link.MTU
		}
		if now.Device != nil {
			was.ListenPort = now.Device.ListenPort
		}
		interfaces[name] = was
	}
	for _, t := range d.Tunnels {
		add(t.Name)
	}
	for _, r := range d.Remove {
		add(r.Name)
	}
	if d.MSS != nil {
		files = append(files, w.mssFile())
	}
	if d.Boot != nil {
		for _, f := range (&Host{}).bootFiles() {
			files = append(files, f.path)
		}
	}
	return files, interfaces
}

// A Reverter is a host on which a change is taken back.
type Reverter interface {
	Reader
	Writer
	// Disable keeps the interfaces from coming up at boot; Down takes one away until then.
	Disable(ctx context.Context, names []string) error
	Down(ctx context.Context, name string) error
}

// revertHold is how long packets wait for peers to know the former key again (HandOver). One
// that changes at once was heard by them after 10 s, measured in TestHandover.
const revertHold = 300 * time.Millisecond

// Revert brings interfaces back to what they were: those that were not there go,
// and the others get what their former files say, field by field, as Apply does it.
// files has the text of each that there was. It returns what it did, in words, also
// when some of it failed, and may be called again.
func Revert(ctx context.Context, h Reverter, before map[string]Before, files map[string]string) ([]string, error) {
	r := reverter{applier{ctx: ctx, w: h}, h}
	have, err := h.Files()
	if err != nil {
		return nil, err
	}
	links, err := h.Links()
	if err != nil {
		return nil, err
	}
	wants := map[string]*Want{} // by folder, private key file and mesh
	for _, name := range slices.Sorted(maps.Keys(before)) {
		was := before[name]
		text, there := files[name]
		_, now := have[name]
		_, up := links[name]
		switch {
		case there && was.Up:
			t, key := parseTunnel(name, text)
			// What the file leaves to wg-quick and the kernel is as it was, too.
			t.MTU, t.ListenPort = cmp.Or(t.MTU, was.MTU), cmp.Or(t.ListenPort, was.ListenPort)
			mesh, later := mark.Of(text), have[name].mesh()
			id := strings.Join([]string{was.Directory, key, mesh, later}, " ")
			if wants[id] == nil {
				wants[id] = &Want{
					Directory: was.Directory, PrivateKeyFile: key,
					Owner: mark.Owner{Mesh: mesh, Before: later},
					Hold:  revertHold,
				}
			}
			wants[id].Tunnels = append(wants[id].Tunnels, t)
		case there:
			if up {
				r.try(name+": taken down, as it was", name+": take down", h.Down(ctx, name))
			}
		case was.Up: // nothing says what it was, and others may need it
			r.done = append(r.done, name+": left as it is, its file was lost before")
		case now || up:
			// It also ends a unit that a file without an interface would start.
			r.remove([]Removal{{Name: name}}, false)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(wants)) {
		r.back(*wants[id], files)
	}
	r.units(before)
	return r.done, errors.Join(r.errs...)
}

type reverter struct {
	applier
	h Reverter
}

// back applies what the former files say. What Diff would write is replaced by the
// very text that there was.
func (r *reverter) back(w Want, files map[string]string) {
	have, err := Observe(r.ctx, r.h, w)
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	for _, t := range w.Tunnels {
		if err := have.Interfaces[t.Name].Silent; err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s: %w", t.Name, err))
		}
	}
	d, err := Diff(w, have)
	if err != nil { // of the tunnels that it names; the others go back
		r.errs = append(r.errs, err)
	}
	d.Remove, d.MSS, d.Load, d.Boot = nil, nil, nil, nil
	for i := range d.Tunnels {
		t := &d.Tunnels[i]
		text, now := files[t.Name], have.Interfaces[t.Name].File
		t.File, t.Enable = nil, false
		if now == nil || now.Text != text || now.Copy != text {
			t.File = &text
		}
	}
	d.Tunnels = slices.DeleteFunc(d.Tunnels, TunnelDelta.empty)
	did, err := Apply(r.ctx, r.h, d)
	r.done = append(r.done, did...)
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// units sets what comes up at boot, where it differs.
func (r *reverter) units(before map[string]Before) {
	now, err := r.h.Units(r.ctx, slices.Sorted(maps.Keys(before)))
	if err != nil || now == nil {
		r.errs = append(r.errs, err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		switch is, was := now[name].Enabled, before[name].Enabled; {
		case was && !is:
			r.try(name+": enabled at boot", name+": enable at boot", r.h.Enable(r.ctx, []string{name}))
		case is && !was:
			r.try(name+": not enabled at boot", name+": disable at boot", r.h.Disable(r.ctx, []string{name}))
		}
	}
}

// parseTunnel reads what render wrote: the tunnel, with the keys of its peers, and
// the path of its private key.
func parseTunnel(name, text string) (t plan.Tunnel, privateKeyFile string) {
	t.Name = name
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch key {
		case "Address":
			for one := range strings.SplitSeq(value, ",") {
				if p, err := netip.ParsePrefix(strings.TrimSpace(one)); err == nil {
					t.Addresses = append(t.Addresses, p)
				}
			}
		case "ListenPort":
			t.ListenPort, _ = strconv.Atoi(value)
		case "MTU":
			t.MTU, _ = strconv.Atoi(value)
		case "PostUp":
			words := strings.Fields(value)
			if i := slices.Index(words, "private-key"); i >= 0 && i+1 < len(words) {
				privateKeyFile = words[i+1]
			}
		}
	}
	t.Peers = parse(text)
	return t, privateKeyFile
}

// LoadMSS has the kernel clamp as the file that is back says, or not at all without
// a file. It loads nothing that is not ours.
func (h *Host) LoadMSS(ctx context.Context) error {
	m, err := h.MSS(ctx)
	if err != nil {
		return err
	}
	switch {
	case m.File != "" && !ours(m.File), m.File == "" && m.Live == "":
		return nil
	case m.File == "":
		return h.SetMSS(ctx, "")
	}
	_, err = program.Run(ctx, "nft", "-f", h.mssPath())
	if err != nil {
		return fmt.Errorf("mss clamp: %w", err)
	}
	return nil
}
