package sysctl

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A Plan is what has to be done for a profile, and what was found.
type Plan struct {
	// Live are the changes to /proc/sys.
	Live []Change
	// Path is the drop-in; File its new content, nil when it is right.
	Path string
	File []byte
	// Before and After are the managed parameters and the drop-in.
	Before, After View
	// FileOnly are the keys that this kernel, or this container's network
	// namespace, does not let us set. They are in the drop-in alone.
	FileOnly []string
	// Defeated are the parameters that will not hold.
	Defeated []Defeat
	// ReservedPorts is the live list after the change.
	ReservedPorts string
	// Warnings are for people: one line each, with what to do.
	Warnings []string
}

// A View is one side of a plan, as --diff shows it.
type View struct {
	Live map[string]string `json:"live"`
	File []string          `json:"file"`
}

// Changed tells whether there is anything to do.
func (p Plan) Changed() bool { return len(p.Live) > 0 || p.File != nil }

// Observe reads the host and works out what profile takes. The drop-in is at
// path, an absolute path on the host. It writes nothing.
func Observe(h Host, profile Profile, path string) (Plan, error) {
	if err := profile.Validate(); err != nil {
		return Plan{}, err
	}
	if !filepath.IsAbs(path) || !strings.HasSuffix(path, ".conf") {
		return Plan{}, fmt.Errorf("path %q: expected an absolute path that ends in .conf, the only files sysctl.d(5) reads", path)
	}
	own, err := h.readDropin(path)
	if err != nil {
		return Plan{}, err
	}
	others, err := h.readBoot(path)
	if err != nil {
		return Plan{}, err
	}
	if profile.Interfaces == nil {
		profile.Interfaces = own.interfaces
	}
	w := &work{host: h, have: Settings{}, live: profile.Settings(), boot: profile.Settings()}
	for _, step := range []func() error{
		func() error { return w.buffers(profile.buffers(), others) },
		func() error { return w.ports(profile.ReservedPorts, own.ports, others) },
		w.everyInterface,
		w.observe,
	} {
		if err := step(); err != nil {
			return Plan{}, err
		}
	}
	return w.plan(profile, path, own, others)
}

// work holds what Observe collects: wanted values now and at boot, and what is
// there. The two differ in what belongs to others: their reserved ports of
// today are no reason to reserve them at every boot.
type work struct {
	host             Host
	live, boot, have Settings
	fileOnly         []string
	ours             Ports
}

func (w *work) buffers(buffers []buffer, others boot) error {
	for _, b := range buffers {
		if b.least == 0 {
			continue
		}
		now, err := w.host.read(b.key)
		if err != nil {
			return err
		}
		want := atLeast(b.least, now.text, others.value(b.key))
		w.live[b.key], w.boot[b.key] = want, want
	}
	return nil
}

// ports merges the wanted ports into the list, which the kernel only replaces
// as a whole. What is there and not recorded as ours belongs to others.
func (w *work) ports(wanted *Ports, recorded Ports, others boot) error {
	now, err := w.host.read(keyPorts)
	if err != nil {
		return err
	}
	have, err := ParsePorts(now.text)
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", keyPorts, err)
	}
	theirsAtBoot, err := ParsePorts(others.value(keyPorts))
	if err != nil { // theirs to mend; the kernel refuses the line too
		theirsAtBoot = Ports{}
	}
	if wanted == nil {
		wanted = &recorded
	}
	theirs := have.Minus(recorded.Minus(theirsAtBoot))
	w.ours = wanted.Minus(theirs).Minus(theirsAtBoot)
	w.live[keyPorts] = theirs.Union(*wanted).String()
	if want := theirsAtBoot.Union(*wanted); want != (Ports{}) {
		w.boot[keyPorts] = want.String()
	}
	return nil
}

// everyInterface adds what has to hold on interfaces nobody named.
func (w *work) everyInterface() error {
	names, err := w.host.interfaces()
	for _, name := range names {
		w.live[Key(prefixConf4+name+suffixSend)] = "0"
	}
	return err
}

// observe reads the live values and drops from live what cannot be set here.
func (w *work) observe() error {
	for _, k := range sortedKeys(w.live) {
		now, err := w.host.read(k)
		if err != nil {
			return err
		}
		switch {
		case now.present && (now.writable || now.text == w.live[k]):
			w.have[k] = now.text
			continue
		case !now.present && isInterface(k):
			// not there yet: default's values are for it
		case k != keyPorts || w.live[k] != "":
			w.fileOnly = append(w.fileOnly, k.String())
		}
		delete(w.live, k)
	}
	return nil
}

func isInterface(k Key) bool { return optional(k) && strings.HasPrefix(string(k), prefixConf4) }

func (w *work) plan(profile Profile, path string, own dropin, others boot) (Plan, error) {
	file := render(cmp.Or(profile.Mesh, own.mesh), w.boot, w.ours)
	p := Plan{
		Live:          Diff(w.live, w.have),
		Path:          path,
		Before:        View{Live: dotted(w.have), File: lines(own.text)},
		After:         View{Live: dotted(w.live), File: lines(file)},
		FileOnly:      w.fileOnly,
		Defeated:      others.defeats(w.boot),
		ReservedPorts: w.live[keyPorts],
	}
	if string(file) != string(own.text) {
		p.File = file
	}
	strict, err := w.strictInterfaces(profile.Interfaces)
	if err != nil {
		return Plan{}, err
	}
	p.Defeated = append(p.Defeated, strict...)
	for _, d := range p.Defeated {
		p.Warnings = append(p.Warnings, d.Reason)
	}
	if len(p.FileOnly) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s: this kernel or container does not let them be set here, so they are only in %s; set them on the container's host", strings.Join(p.FileOnly, ", "), path))
	}
	if profile.IPv6 {
		names, err := w.host.routedByAdvertisement()
		if err != nil {
			return Plan{}, err
		}
		for _, n := range names {
			p.Warnings = append(p.Warnings, fmt.Sprintf("interface %s has its IPv6 default route from router advertisements, which a kernel that forwards no longer takes: set net.ipv6.conf.%s.accept_ra=2 or a static route", n, n))
		}
	}
	return p, nil
}

// strictInterfaces reports the interfaces nobody named that check the source
// strictly: for them max(all, interface) is 1 in spite of us. Loose checking
// (2) lets asymmetric paths through.
func (w *work) strictInterfaces(named []string) ([]Defeat, error) {
	names, err := w.host.interfaces()
	var out []Defeat
	for _, name := range names {
		if slices.Contains(named, name) {
			continue
		}
		k := Key(prefixConf4 + name + "/rp_filter")
		now, err := w.host.read(k)
		if err != nil {
			return nil, err
		}
		if now.text == "1" {
			out = append(out, Defeat{
				Key: k.String(), Want: "0", Found: "1", By: name,
				Reason: fmt.Sprintf("interface %s has rp_filter=1, and the larger of its value and that of \"all\" counts, so replies that come by another way are dropped there: add %s to interfaces", name, name),
			})
		}
	}
	return out, err
}

func dotted(s Settings) map[string]string {
	out := make(map[string]string, len(s))
	for k, v := range maps.All(s) {
		out[k.String()] = v
	}
	return out
}

func lines(text []byte) []string {
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
