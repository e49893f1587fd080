package wg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Apply makes the changes of d and returns what it did, in words, also when some of it failed. A
// tunnel that fails does not hold up the others; the next run finds what is left to do.
func Apply(ctx context.Context, w Writer, d Delta) ([]string, error) {
	for _, path := range d.keys {
		if err := w.UsableKey(path); err != nil {
			return nil, fmt.Errorf("private_key_file: %w; run wg_keypair first", err)
		}
	}
	a := applier{ctx: ctx, w: w}
	if d.MSS != nil {
		a.try(tableWord(*d.MSS)+": "+clampVerb(*d.MSS), tableWord(*d.MSS), w.SetMSS(ctx, *d.MSS))
	}
	for _, file := range d.Load {
		a.try(file+": loaded, somebody had flushed it", file, w.LoadTable(ctx, file))
	}
	a.remove(d.Remove, true)
	for _, t := range d.Tunnels {
		if t.Release {
			a.try(t.Name+": leaves its port", t.Name+": leave its port",
				w.Configure(t.Name, DeviceChange{AnyPort: true}))
		}
	}
	for _, t := range a.announce(d.Tunnels) {
		if !t.Start {
			a.mend(t)
		}
	}
	fresh, byFile := a.prepare(d.Tunnels)
	if d.Boot != nil && *d.Boot { // has systemd read all units again, so after the enabling
		a.boot(true)
	}
	a.start(fresh, byFile)
	a.remove(d.Remove, false)
	if d.Boot != nil && !*d.Boot {
		a.boot(false)
	}
	return a.done, errors.Join(a.errs...)
}

type applier struct {
	ctx  context.Context
	w    Writer
	done []string
	errs []error
}

// try records the outcome of one change and reports whether it was made.
func (a *applier) try(done, what string, err error) bool {
	if err != nil {
		a.errs = append(a.errs, fmt.Errorf("%s: %w", what, err))
		return false
	}
	a.done = append(a.done, done)
	return true
}

func (a *applier) boot(present bool) {
	a.try("drop-in of wg-quick@.service: "+bootVerb(present), "drop-in of wg-quick@.service",
		a.w.SetBoot(a.ctx, present))
}

func (a *applier) remove(list []Removal, first bool) {
	for _, r := range list {
		if r.First != first {
			continue
		}
		// The file goes last: it is the mark by which the next run knows what
		// is left of an interface of ours.
		if err := a.w.Stop(a.ctx, r.Name); err != nil {
			a.errs = append(a.errs, fmt.Errorf("%s: remove: %w", r.Name, err))
			continue
		}
		a.try(r.Name+": removed", r.Name+": remove file", a.w.RemoveFile(r.Name))
	}
}

// A step is one change to one interface.
type step struct {
	name string
	do   func() error
}

// mend changes an interface that lives. Adding comes before removing. The file
// comes last: it is the record of the endpoints that were set.
func (a *applier) mend(t TunnelDelta) {
	steps := a.live(t)
	if t.File != nil {
		steps = append(steps, step{"wg-quick file", func() error { return a.w.WriteFile(t.Name, *t.File) }})
	}
	if t.Enable {
		steps = append(steps, step{"enable at boot", func() error { return a.w.Enable(a.ctx, []string{t.Name}) }})
	}
	for _, s := range steps {
		if !a.try(t.Name+": "+s.name, t.Name+": "+s.name, s.do()) {
			return
		}
	}
}

// live are the changes to what the kernel has of an interface.
func (a *applier) live(t TunnelDelta) (steps []step) {
	add := func(name string, do func() error) { steps = append(steps, step{name, do}) }
	if t.MTU != 0 {
		add(fmt.Sprintf("mtu %d", t.MTU), func() error { return a.w.SetMTU(t.Name, t.MTU) })
	}
	if t.Up {
		add("set up", func() error { return a.w.SetUp(t.Name) })
	}
	for _, p := range t.AddAddresses {
		add("add address "+p.String(), func() error { return a.w.AddAddress(t.Name, p) })
	}
	for _, p := range t.RemoveAddresses {
		add("remove address "+p.String(), func() error { return a.removeAddress(t, p) })
	}
	if !t.Device.empty() {
		add(t.Device.words(), func() error { return a.w.Configure(t.Name, t.Device) })
	}
	return steps
}

// removeAddress also puts back what the kernel takes along: to remove the first
// address of a subnet removes the others unless promote_secondaries is set.
func (a *applier) removeAddress(t TunnelDelta, p netip.Prefix) error {
	if err := a.w.RemoveAddress(t.Name, p); err != nil {
		return err
	}
	for _, keep := range t.RestoreAddresses {
		if err := a.w.AddAddress(t.Name, keep); err != nil {
			return fmt.Errorf("put back %s: %w", keep, err)
		}
	}
	return nil
}

// prepare makes ready to be brought up what is not there, and returns it: what can be
// made at once, and what wg-quick makes from its file.
func (a *applier) prepare(list []TunnelDelta) (fresh, byFile []TunnelDelta) {
	var failed, enable []string
	closed := len(a.errs) == 0 // the filter is there, for which wg-quick would look
	for _, t := range list {
		if !t.Start {
			continue
		}
		if err := a.clear(t); err != nil {
			a.errs = append(a.errs, fmt.Errorf("%s: %w", t.Name, err))
			continue
		}
		if t.Fresh && closed {
			fresh = append(fresh, t)
		} else {
			byFile = append(byFile, t)
		}
		if t.Reset {
			failed = append(failed, t.Name)
		}
		if t.Enable {
			enable = append(enable, t.Name)
		}
	}
	if len(failed) > 0 {
		if err := a.w.Reset(a.ctx, failed); err != nil {
			a.errs = append(a.errs, fmt.Errorf("reset failed units: %w", err))
		}
	}
	if len(enable) > 0 {
		list := strings.Join(enable, ", ")
		a.try(list+": enable at boot", list+": enable at boot", a.w.Enable(a.ctx, enable))
	}
	return fresh, byFile
}

// start brings up all in one go.
func (a *applier) start(fresh, byFile []TunnelDelta) {
	errs := map[string]error{}
	if len(fresh) > 0 {
		errs = a.w.Create(a.ctx, names(fresh))
	}
	for _, t := range fresh {
		if errs[t.Name] == nil {
			errs[t.Name] = a.furnish(t)
		}
	}
	if len(byFile) > 0 {
		maps.Copy(errs, a.w.Start(a.ctx, names(byFile)))
	}
	for _, t := range slices.Concat(fresh, byFile) {
		a.try(t.Name+": brought up", t.Name+": bring up", errs[t.Name])
	}
}

func names(list []TunnelDelta) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.Name
	}
	return out
}

// furnish gives an interface that was just made all that it is to have, up last: it
// answers nobody without its keys. They go first: a wireguard-go that answers has
// set the MTU it begins with, which would replace ours. Half of it is worse than nothing.
func (a *applier) furnish(t TunnelDelta) error {
	keys, rest := TunnelDelta{Name: t.Name, Device: t.Device}, t
	rest.Device, rest.Up = DeviceChange{}, false
	steps := append(a.live(keys), a.live(rest)...)
	steps = append(steps, a.live(TunnelDelta{Name: t.Name, Up: true})...)
	for _, s := range steps {
		if err := s.do(); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s.name, err), a.w.DeleteLink(t.Name))
		}
	}
	return nil
}

// clear writes the file of a tunnel, and takes away the dead interface of its name.
func (a *applier) clear(t TunnelDelta) error {
	if t.File != nil {
		if err := a.w.WriteFile(t.Name, *t.File); err != nil {
			return fmt.Errorf("wg-quick file: %w", err)
		}
		a.done = append(a.done, t.Name+": wg-quick file")
	}
	if t.DeleteLink {
		if err := a.w.DeleteLink(t.Name); err != nil {
			return fmt.Errorf("delete the dead interface: %w", err)
		}
		a.done = append(a.done, t.Name+": dead interface deleted")
	}
	return nil
}

func bootVerb(present bool) string {
	if present {
		return "written"
	}
	return "removed"
}

func clampVerb(text string) string {
	if text == "" {
		return "removed"
	}
	return "loaded"
}

// tableWord is what people call the table.
func tableWord(text string) string {
	if parseFilter(text).words() != "" {
		return "mss clamp and input filter"
	}
	return "mss clamp"
}
