package sysctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Want is a profile, and the drop-in that keeps it, an absolute path on the host.
type Want struct {
	Profile
	Path string
	// Absent takes the drop-in away, and gives the parameters their former values.
	Absent bool
}

// Validate lists everything that cannot be right on any host.
func (w Want) Validate() error {
	err := w.Profile.Validate()
	if !filepath.IsAbs(w.Path) || !strings.HasSuffix(w.Path, ".conf") {
		err = errors.Join(err, fmt.Errorf(
			"path %q: expected an absolute path that ends in .conf, the only files sysctl.d(5) reads", w.Path))
	}
	return err
}

// Have is what a host has of the parameters, now and at boot.
type Have struct {
	own        dropin
	others     boot
	interfaces []string
	now        map[Key]value
	advertised []Key // accept_ra of the interfaces whose advertisements would end with forwarding
}

// A Delta is what has to be done for a profile, and what was found.
type Delta struct {
	// Live are the changes to /proc/sys.
	Live []Change
	// Path is the drop-in; File its new content, nil when it is right.
	Path string
	File []byte
	// Remove takes the drop-in away.
	Remove bool
	// FileOnly are the keys that this kernel, or this container's network
	// namespace, does not let us set. They are in the drop-in alone.
	FileOnly []string
	// Defeated are the parameters that will not hold.
	Defeated []Defeat
	// ReservedPorts is the live list after the change.
	ReservedPorts string

	before, after View
	warnings      []string
	back          int // so many of Live give a former value back
}

// A View is one side of a delta, as --diff shows it.
type View struct {
	Live map[string]string `json:"live"`
	File []string          `json:"file"`
}

// Empty reports whether there is nothing to do.
func (d Delta) Empty() bool { return len(d.Live) == 0 && d.File == nil && !d.Remove }

// Views are the managed parameters and the drop-in.
func (d Delta) Views() (before, after View) { return d.before, d.after }

// Warnings are about what will not hold: one line each, with what to do.
func (d Delta) Warnings() []string { return d.warnings }

// Observe reads the host, and writes nothing.
func (h Host) Observe(_ context.Context, want Want) (Have, error) {
	have := Have{now: map[Key]value{}}
	var err error
	if have.own, err = h.readDropin(want.Path); err != nil {
		return have, err
	}
	if have.others, err = h.readBoot(want.Path); err != nil {
		return have, err
	}
	if have.interfaces, err = h.interfaces(); err != nil {
		return have, err
	}
	profile := want.with(have.own)
	keys := slices.Collect(maps.Keys(profile.Settings()))
	for _, b := range profile.buffers() {
		keys = append(keys, b.key)
	}
	for _, name := range have.interfaces {
		keys = append(keys, Key(prefixConf4+name+suffixSend), Key(prefixConf4+name+suffixStrict))
	}
	if profile.Settings()[keyForward6] != "" {
		if have.advertised, err = h.advertised(have.own); err != nil {
			return have, err
		}
	}
	keys = append(append(keys, keyPorts), have.advertised...)
	keys = slices.AppendSeq(slices.AppendSeq(keys, maps.Keys(have.own.former)), maps.Keys(have.own.sets))
	slices.Sort(keys)
	for _, k := range keys {
		if have.now[k], err = h.read(k); err != nil {
			return have, err
		}
	}
	return have, nil
}

// with is the profile with what the drop-in has where it says nothing.
func (p Profile) with(own dropin) Profile {
	if p.IPv6 == nil {
		there := own.sets[keyForward6] == "1"
		p.IPv6 = &there
	}
	if p.Interfaces == nil {
		p.Interfaces = own.interfaces
	}
	return p
}

// Diff works out what the profile takes. It does no I/O.
func (Host) Diff(want Want, have Have) (Delta, error) {
	profile := want.with(have.own)
	w := &work{Have: have, had: Settings{}, back: Settings{}, live: profile.Settings(), boot: profile.Settings()}
	w.buffers(profile.buffers())
	ports := profile.ReservedPorts
	if want.Absent {
		ports = &Ports{}
	}
	if err := w.ports(ports); err != nil {
		return Delta{}, err
	}
	if want.Absent {
		return w.absent(want.Path), nil
	}
	for _, name := range have.interfaces { // it has to hold on interfaces nobody named
		w.live[Key(prefixConf4+name+suffixSend)] = "0"
	}
	for _, k := range have.advertised {
		w.live[k], w.boot[k] = "2", "2"
	}
	w.compare()
	w.giveBack()
	return w.delta(profile, want.Path), nil
}

// work is what Diff collects: wanted values now and at boot. The two differ in what belongs to
// others: their reserved ports of today are no reason to reserve them at every boot.
type work struct {
	Have
	live, boot, had Settings
	back            Settings // what the drop-in sets and the profile does not want any more, as it was before
	fileOnly        []string
	ours            Ports
}

func (w *work) buffers(buffers []buffer) {
	for _, b := range buffers {
		if b.least != 0 {
			want := atLeast(b.least, w.now[b.key].text, w.others.value(b.key))
			w.live[b.key], w.boot[b.key] = want, want
		}
	}
}

// ports merges the wanted ports into the list, which the kernel only replaces
// as a whole. What is there and not recorded as ours belongs to others.
func (w *work) ports(wanted *Ports) error {
	there, err := ParsePorts(w.now[keyPorts].text)
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", keyPorts, err)
	}
	theirsAtBoot, err := ParsePorts(w.others.value(keyPorts))
	if err != nil { // theirs to mend; the kernel refuses the line too
		theirsAtBoot = Ports{}
	}
	if wanted == nil {
		wanted = &w.own.ports
	}
	theirs := there.Minus(w.own.ports.Minus(theirsAtBoot))
	w.ours = wanted.Minus(theirs).Minus(theirsAtBoot)
	w.live[keyPorts] = theirs.Union(*wanted).String()
	if want := theirsAtBoot.Union(*wanted); want != (Ports{}) {
		w.boot[keyPorts] = want.String()
	}
	return nil
}

// compare drops from live what cannot be set here.
func (w *work) compare() {
	for _, k := range slices.Sorted(maps.Keys(w.live)) {
		now := w.now[k]
		switch {
		case now.present && (now.writable || now.text == w.live[k]):
			w.had[k] = now.text
			continue
		case !now.present && isInterface(k):
			// not there yet: default's values are for it
		case k != keyPorts || w.live[k] != "":
			w.fileOnly = append(w.fileOnly, k.String())
		}
		delete(w.live, k)
	}
}

// giveBack has what was ours be what the next boot makes of it. What somebody else has set since
// stays, and so do interfaces: their tunnels are about to go.
func (w *work) giveBack() {
	for k, ours := range w.own.sets {
		was, known := w.own.former[k]
		if other := w.others.value(k); other != "" {
			was, known = other, true
		}
		_, wanted := w.boot[k]
		if now := w.now[k]; known && !wanted && !isInterface(k) && now.writable && now.text == ours && was != ours {
			w.back[k], w.had[k] = was, ours
		}
	}
}

func (w *work) delta(profile Profile, path string) Delta {
	file := render(cmp.Or(profile.Mesh, w.own.mesh), w.boot, w.ours, w.former())
	back := Changes(w.back, w.had)
	d := Delta{
		Live:          append(back, Changes(w.live, w.had)...),
		back:          len(back),
		Path:          path,
		FileOnly:      w.fileOnly,
		Defeated:      append(w.others.defeats(w.boot), w.strict(profile.Interfaces)...),
		ReservedPorts: w.live[keyPorts],
		before:        View{Live: dotted(w.had), File: lines(w.own.text)},
		after:         View{Live: dotted(w.live), File: lines(file)},
	}
	if string(file) != string(w.own.text) {
		d.File = file
	}
	for _, defeat := range d.Defeated {
		d.warnings = append(d.warnings, defeat.Reason)
	}
	if len(d.FileOnly) > 0 {
		d.warnings = append(d.warnings, fmt.Sprintf(
			"%s: this kernel or container does not let them be set here, so they are only in %s; "+
				"set them on the container's host", strings.Join(d.FileOnly, ", "), path))
	}
	return d
}

// strict reports the interfaces nobody named that check the source strictly: for them max(all,
// interface) is 1 in spite of us. Loose checking (2) lets asymmetric paths through.
func (w *work) strict(named []string) []Defeat {
	var out []Defeat
	for _, name := range w.interfaces {
		k := Key(prefixConf4 + name + suffixStrict)
		if slices.Contains(named, name) || w.now[k].text != "1" {
			continue
		}
		out = append(out, Defeat{
			Key: k.String(), Want: "0", Found: "1", By: name,
			Reason: fmt.Sprintf(
				"interface %s has rp_filter=1, and the larger of its value and that of \"all\" counts, "+
					"so replies that come by another way are dropped there: add %s to interfaces", name, name),
		})
	}
	return out
}

func dotted(s Settings) map[string]string {
	out := make(map[string]string, len(s))
	for k, v := range maps.All(s) {
		out[k.String()] = v
	}
	return out
}

func lines(text []byte) []string { return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") }
