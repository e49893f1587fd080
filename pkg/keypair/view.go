package keypair

import "fmt"

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
