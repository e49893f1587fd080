package keypair

import (
	"errors"
	"fmt"
	"strings"
)

// A Step is one thing that Apply does.
type Step struct {
	Action Action
	Path   string
	Why    string
}

// An Action is a kind of Step.
type Action int

// The actions, in the order in which Apply meets them.
const (
	Mend           Action = iota // give the file its mode and owner
	MakePrivate                  // make a private key where there is none
	ReplacePrivate               // replace the private key by a new one
	MakeSealing                  // the same for the sealing key
	ReplaceSealing               //
	Record                       // write the identity file
	Clear                        // remove a file: a key that is to go, or what a killed run left
)

// A Delta is what has to be done. It is empty when nothing has to.
type Delta struct {
	Steps []Step

	warnings []string
	files    Files
	machine  string // to record
	before   Have
}

// Empty reports whether there is nothing to do.
func (d Delta) Empty() bool { return len(d.Steps) == 0 }

// Warnings are about what is kept although it may not be safe.
func (d Delta) Warnings() []string { return d.warnings }

// Diff compares and decides. It fails when Regenerate forbids what is needed,
// and on a host that is being made into an image.
func (Host) Diff(want Want, have Have) (Delta, error) {
	if want.Absent {
		return diffAbsent(want, have), nil
	}
	d := Delta{files: want.Files, machine: have.Machine, before: have}
	if want.ImageBuild {
		have.Image = "image_build is set"
	}
	if have.Image != "" {
		return d, imageError(want.Files, have)
	}
	cloned := have.Cloned()
	if cloned && want.Regenerate == Fail {
		return d, fmt.Errorf("identity_file %s: the keys were made on another machine (a cloned disk?); "+
			"run with regenerate: partial_idempotence to make new ones", want.Identity)
	}
	err := errors.Join(
		d.key("private_key_file", want.Regenerate, have.Private, cloned, MakePrivate, ReplacePrivate),
		d.key("sealing_key_file", want.Regenerate, have.Sealing, cloned, MakeSealing, ReplaceSealing),
	)
	if err != nil {
		return Delta{}, err
	}
	d.identity(want, have)
	for _, list := range [][]string{have.Private.Leftovers, have.Sealing.Leftovers, have.leftovers} {
		for _, path := range list {
			d.add(Clear, path, "left by a run that was killed")
		}
	}
	return d, nil
}

func (d *Delta) add(a Action, path, why string) {
	d.Steps = append(d.Steps, Step{a, path, why})
}

// key decides about one key file.
func (d *Delta) key(option string, r Regenerate, have Key, cloned bool, create, replace Action) error {
	if !have.Exists {
		d.add(create, have.Path, "there is none")
		return nil
	}
	if faults := have.Faults(); len(faults) > 0 {
		d.add(Mend, have.Path, strings.Join(faults, ", "))
		if have.Exposed() {
			d.warnings = append(d.warnings, fmt.Sprintf(
				"%s was open to other users (%s); if anybody may have read it, "+
					"make new keys with regenerate: always", have.Path, strings.Join(faults, ", ")))
		}
	}
	switch {
	case r == Always:
		d.add(replace, have.Path, "regenerate: always")
	case have.Broken != nil && r == Fully:
		d.add(replace, have.Path, "not readable as a key: "+have.Broken.Error())
	case have.Broken != nil:
		return fmt.Errorf("%s %s: %w; restore the file, or run once with regenerate: "+
			"full_idempotence to replace it by a new key", option, have.Path, have.Broken)
	case cloned && r != Never:
		d.add(replace, have.Path, "made on another machine")
	}
	return nil
}

// identity decides about the record. It comes after the keys: a crash before it
// leaves a clone that is still seen as a clone.
func (d *Delta) identity(want Want, have Have) {
	if have.identity.Exists {
		if faults := have.identity.Faults(); len(faults) > 0 {
			d.add(Mend, want.Identity, strings.Join(faults, ", "))
		}
	}
	switch {
	case have.Unbound:
	case have.Machine == "":
		d.warnings = append(d.warnings, "this machine has no /etc/machine-id: "+
			"a clone of its disk cannot be told from it and would use the same keys")
	case have.Recorded == "":
		d.add(Record, want.Identity, "no machine is recorded")
		if have.Private.Exists && want.Regenerate != Always {
			d.warnings = append(d.warnings, fmt.Sprintf("%s was there before and is kept: "+
				"if it came with the image, every machine of that image has it; "+
				"then make new keys with regenerate: always, and build the image again", want.PrivateKey))
		}
	case have.Cloned() && want.Regenerate == Never:
		d.warnings = append(d.warnings, fmt.Sprintf("the keys %s and %s were made on another machine "+
			"(a cloned disk?) and are kept, because of regenerate: never", want.PrivateKey, want.SealingKey))
	case have.Cloned():
		d.add(Record, want.Identity, "the machine is another")
		d.warnings = append(d.warnings, fmt.Sprintf(
			"the machine id changed since the keys were made (a cloned disk?): this router gets new keys, "+
				"and its peers need a run of the play to learn them (%s); if the id is new at each boot, "+
				"set bind_to_machine (mesh_bind_to_machine) to false", want.PrivateKey))
	}
}

func imageError(files Files, have Have) error {
	msg := fmt.Sprintf(
		"this is an image build (%s): every router made from the image would have the same keys; "+
			"run wg_keypair after the first boot", have.Image)
	var there []string
	for _, k := range []Key{have.Private, have.Sealing} {
		if k.Exists {
			there = append(there, k.Path)
		}
	}
	if have.identity.Exists {
		there = append(there, files.Identity)
	}
	if len(there) > 0 {
		msg += "; remove from the image: " + strings.Join(there, ", ")
	}
	return errors.New(msg)
}

// diffAbsent plans to take the keys away. The record of the machine goes last: a run that
// is cut off finds what is left.
func diffAbsent(want Want, have Have) Delta {
	d := Delta{files: want.Files, before: have}
	const why = "state: absent"
	for _, k := range []Key{have.Private, have.Sealing, {Info: have.identity, Leftovers: have.leftovers}} {
		if k.Exists {
			d.add(Clear, k.Path, why)
		}
		for _, path := range k.Leftovers {
			d.add(Clear, path, why)
		}
	}
	return d
}

// A View is what --diff shows. Nothing in it is secret.
type View struct {
	PublicKey      *string  `json:"public_key"`  // nil: there is none
	SealingKey     *string  `json:"sealing_key"` // its fingerprint
	Machine        string   `json:"machine"`
	PrivateKeyFile string   `json:"private_key_file"`
	SealingKeyFile string   `json:"sealing_key_file"`
	IdentityFile   string   `json:"identity_file"`
	Leftovers      []string `json:"leftovers,omitempty"`
}

// Views returns what is there and what Apply makes of it. A key that Apply
// makes is named, not shown: it does not exist yet.
func (d Delta) Views() (before, after View) {
	h := d.before
	before = View{
		PublicKey: text(h.Private.Short), SealingKey: text(h.Sealing.Short), Machine: "not recorded",
		PrivateKeyFile: state(h.Private.Exists, h.Private.Faults(), h.Private.Broken),
		SealingKeyFile: state(h.Sealing.Exists, h.Sealing.Faults(), h.Sealing.Broken),
		IdentityFile:   state(h.identity.Exists, h.identity.Faults(), nil),
	}
	switch {
	case h.Cloned():
		before.Machine = "another machine"
	case h.Recorded != "":
		before.Machine = "this machine"
	}
	after = before
	file := map[string]*string{
		d.files.PrivateKey: &after.PrivateKeyFile, d.files.SealingKey: &after.SealingKeyFile,
		d.files.Identity: &after.IdentityFile,
	}
	for _, s := range d.Steps {
		switch s.Action {
		case Mend:
			*file[s.Path] = whole
		case MakePrivate, ReplacePrivate:
			after.PublicKey, after.PrivateKeyFile = text("a new key in "+s.Path+": "+s.Why), whole
		case MakeSealing, ReplaceSealing:
			after.SealingKey, after.SealingKeyFile = text("a new key in "+s.Path+": "+s.Why), whole
		case Record:
			after.Machine, after.IdentityFile = "this machine", whole
		case Clear:
			switch s.Path {
			case d.files.PrivateKey:
				after.PublicKey, after.PrivateKeyFile = nil, "absent"
				continue
			case d.files.SealingKey:
				after.SealingKey, after.SealingKeyFile = nil, "absent"
				continue
			case d.files.Identity:
				after.Machine, after.IdentityFile = "not recorded", "absent"
				continue
			}
			before.Leftovers = append(before.Leftovers, s.Path)
		}
	}
	return before, after
}

const whole = "present, mode 0600"

func state(exists bool, faults []string, broken error) string {
	switch {
	case !exists:
		return "absent"
	case broken != nil:
		return "present, not readable as a key"
	case len(faults) > 0:
		return fmt.Sprintf("present, %v", faults)
	}
	return whole
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
