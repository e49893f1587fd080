package bird

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a run is asked to reach.
const (
	Applied   = "applied"   // BIRD runs the text; a change waits for confirmation
	Confirmed = "confirmed" // the change that waits is kept, also on disk
	Undone    = "undone"    // the change that waits is taken back
)

// ErrPending reports that somebody else's change waits for its confirmation. BIRD keeps one undo
// only: a second change would make the first unconfirmed one the state to go back to.
var ErrPending = errors.New("another change of the BIRD configuration waits for its confirmation")

// ErrTakenBack reports a confirmation that came too late.
var ErrTakenBack = errors.New("the change of the BIRD configuration has been taken back")

// A Want is the state to reach.
type Want struct {
	State   string
	Text    []byte // the rendered configuration; only Applied needs it
	Timeout int    // seconds until BIRD takes an unconfirmed change back; 0 keeps it at once
	Unit    Unit   // of the service; empty: none is managed
	Start   bool   // a BIRD that does not run is to be started
	Floor   []byte // JSON, for the marker of a change that waits
	Renew   bool   // a change that waits has its time anew, as that of the router's guard
}

// An Action is one kind of step.
type Action string

// The steps that a Delta is made of.
const (
	ActUnit     Action = "unit"     // write the systemd drop-in
	ActClean    Action = "clean"    // remove what an unfinished run left
	ActOriginal Action = "original" // keep a copy of a file that is not ours
	ActAside    Action = "aside"    // make room for it
	ActTry      Action = "try"      // let the running BIRD try the text out
	ActInstall  Action = "install"  // write bird.conf
	ActKeep     Action = "keep"     // write its copy
	ActStart    Action = "start"    // start the service
	ActBoot     Action = "boot"     // start the service at boot
	ActEnable   Action = "enable"   // enable protocols that someone disabled
	ActConfirm  Action = "confirm"  // tell BIRD to keep what it tries
	ActFinish   Action = "finish"   // make the candidate bird.conf
	ActUndo     Action = "undo"     // tell BIRD to go back
	ActLoad     Action = "load"     // let BIRD read bird.conf again
	ActHear     Action = "hear"     // the same, so that BIRD 3 follows the site's interfaces again
	ActStop     Action = "stop"     // end BIRD
	ActBack     Action = "back"     // put the former file back
	ActRemove   Action = "remove"   // remove files of ours
	ActUnitAway Action = "unitless" // remove the systemd drop-in
	ActDisable  Action = "disable"  // do not start the service at boot
)

// A Step is one action with what it needs.
type Step struct {
	Do      Action
	Text    []byte // ActTry, ActInstall, ActKeep, ActOriginal, ActHear
	Unit    Unit   // ActUnit
	Timeout int    // ActTry
	Floor   []byte // ActTry
	// Files of ActClean, ActRemove, ActOriginal and ActAside, protocols of ActEnable,
	// the candidate of ActFinish.
	Names []string
	Stamp Stamp // the text that BIRD runs afterwards: ActStart, ActTry
}

// A Delta is what takes a host to the wanted state, in order.
type Delta []Step

// Pending reports whether a change waits after the delta, when one does before it or not.
func (d Delta) Pending(before bool) bool {
	for _, s := range d {
		switch s.Do {
		case ActTry:
			before = s.Timeout > 0
		case ActConfirm, ActUndo, ActStop:
			before = false
		}
	}
	return before
}

// Diff plans the way from have to want. It does no I/O.
func Diff(want Want, have Have) (Delta, error) {
	switch want.State {
	case Absent:
		return diffAbsent(want, have), nil
	case Confirmed:
		d, err := diffConfirmed(have)
		if len(d) > 0 && want.Start && have.disabled { // the last step stays so: a second run finds the way on
			d = slices.Insert(d, len(d)-1, Step{Do: ActBoot})
		}
		return d, err
	case Undone:
		return diffUndone(have)
	}
	d, err := diffApplied(want, have)
	// What BIRD may take back is enabled when it is kept. The guard, whose time is renewed, disables again.
	if err == nil && want.Start && have.disabled && (want.Renew || !d.Pending(have.Daemon.Pending)) {
		d = append(d, Step{Do: ActBoot}) // last: BIRD has its file by then
	}
	return d, err
}

func diffApplied(want Want, have Have) (Delta, error) {
	stamp, same := StampOf(want.Text), bytes.Equal(want.Text, have.Text)
	if have.Daemon.Pending && !have.tries() {
		return nil, notOurs(have)
	}
	var d Delta
	if want.Unit != (Unit{}) && want.Unit != have.Unit {
		d = append(d, Step{Do: ActUnit, Unit: want.Unit})
	}
	if have.Daemon.Pending {
		// A drain that waits has no floor of its own.
		same := have.Marker == nil || have.Marker.Floor == nil || bytes.Equal(have.Marker.Floor, want.Floor)
		if !want.Renew && bytes.Equal(have.Trial, want.Text) && same {
			return d, nil // the very same change is being tried
		}
		// BIRD keeps one undo only, so the first change goes before the next one comes.
		d = append(d, Step{Do: ActUndo})
		have.Daemon.Runs = "" // whatever there was before
	}
	if clean := have.leftovers(); clean != nil {
		d = append(d, *clean)
	}
	if !have.Daemon.Running {
		if same {
			d = append(d, have.keepGood(want)...)
		} else {
			d = append(d, have.keepOriginal()...)
			d = append(d, Step{Do: ActInstall, Text: want.Text})
		}
		if want.Start {
			d = append(d, Step{Do: ActStart, Stamp: stamp})
		}
		return d, nil
	}
	// A file that carries this text's stamp and is not this text was changed
	// by hand, and the daemon may have read it.
	edited := !same && StampOf(have.Text) == stamp
	switch {
	case have.Daemon.Runs != stamp || edited:
		if want.Timeout == 0 {
			d = append(d, have.keepOriginal()...)
		}
		d = append(d, Step{Do: ActTry, Text: want.Text, Timeout: want.Timeout, Stamp: stamp, Floor: want.Floor})
	case !same:
		d = append(d, have.keepOriginal()...)
		d = append(d, Step{Do: ActInstall, Text: want.Text})
		d = append(append(d, have.enable()...), have.hear(want.Text)...)
	default:
		d = append(d, have.keepGood(want)...)
		d = append(append(d, have.enable()...), have.hear(want.Text)...)
	}
	return d, nil
}

func diffConfirmed(have Have) (Delta, error) {
	finish := func(d Delta) Delta {
		d = append(d, have.keepOriginal()...)
		d = append(d, Step{Do: ActFinish, Names: []string{have.Marker.Candidate}})
		return append(d, have.hear(have.Trial)...) // one tried in place of its edited self has its name
	}
	switch {
	case have.Daemon.Pending && !have.tries():
		return nil, notOurs(have)
	case have.Daemon.Pending && have.Trial == nil:
		return nil, fmt.Errorf("candidate %s is gone, so the change cannot be kept: use state=undone and apply again",
			have.Marker.Candidate)
	case have.Daemon.Pending:
		return finish(Delta{{Do: ActConfirm}}), nil
	case have.Marker == nil: // a boot takes it away, and not what was tried
		left := slices.DeleteFunc(slices.Clone(have.Candidates), func(path string) bool {
			return strings.HasSuffix(path, again)
		})
		if len(left) > 0 {
			return nil, fmt.Errorf("%w: %s was not kept, as after a reboot: apply again", ErrTakenBack, left[0])
		}
		return nil, nil // nothing waits
	case !have.Daemon.Running:
		return nil, errors.New("BIRD does not run, so there is nothing to confirm: look at its log, and apply again")
	case have.tries() && StampOf(have.Text) == have.Marker.Stamp:
		return Delta{*have.leftovers()}, nil // an earlier run was cut off at the very end
	case have.tries() && have.Trial != nil:
		return finish(nil), nil // an earlier run was cut off after the confirmation
	}
	return nil, fmt.Errorf("%w: its time ran out at %s, or BIRD was restarted or reloaded: "+
		"look at its log and at what mesh_status_info found, and apply again", ErrTakenBack,
		have.Marker.Until.Format(time.TimeOnly))
}

func diffUndone(have Have) (Delta, error) {
	var d Delta
	switch {
	case have.Daemon.Pending && !have.tries():
		return nil, notOurs(have)
	case have.Daemon.Pending:
		d = append(d, Step{Do: ActUndo})
	case have.Daemon.Running && have.tries() && StampOf(have.Text) != have.Marker.Stamp:
		d = append(d, Step{Do: ActLoad}) // confirmed to BIRD, but never on disk
	}
	if clean := have.leftovers(); clean != nil {
		d = append(d, *clean)
	}
	return d, nil
}

func notOurs(have Have) error {
	return fmt.Errorf("%w, and it is not this module's: BIRD takes it back in %s; settle it with birdc",
		ErrPending, have.Daemon.Left)
}

// tries reports whether BIRD runs the text that the marker speaks of.
func (s Have) tries() bool {
	return s.Marker != nil && s.Marker.Stamp != "" && s.Daemon.Runs == s.Marker.Stamp
}

func (s Have) leftovers() *Step {
	if s.Marker == nil && len(s.Candidates) == 0 {
		return nil
	}
	return &Step{Do: ActClean, Names: s.Candidates}
}

func (s Have) enable() Delta {
	if len(s.Daemon.Down) == 0 {
		return nil
	}
	return Delta{{Do: ActEnable, Names: s.Daemon.Down}}
}

func (s Have) hear(text []byte) Delta {
	if len(s.Daemon.Deaf) == 0 {
		return nil
	}
	return Delta{{Do: ActHear, Text: text}}
}

// keepGood renews the copy of a bird.conf that is right.
func (s Have) keepGood(want Want) Delta {
	if want.Unit == (Unit{}) || bytes.Equal(s.Good, s.Text) {
		return nil
	}
	return Delta{{Do: ActKeep, Text: s.Text}}
}

// keepOriginal keeps a file that is not ours before it is replaced. The one from before us has
// .orig added, as it is what is put back when we go. Any other has its digest, too.
func (s Have) keepOriginal() Delta {
	orig := original(s.path)
	keep := Step{Do: ActOriginal, Text: s.Text, Names: []string{orig}}
	switch {
	case s.Text == nil || StampOf(s.Text) != "" || s.Original && bytes.Equal(s.former, s.Text):
		return nil
	case s.Original && s.Good == nil: // we were never here, so it is somebody's own
		return Delta{{Do: ActAside, Names: []string{orig, beside(orig, s.former)}}, keep}
	case s.Original:
		keep.Names[0] = beside(orig, s.Text)
	}
	return Delta{keep}
}

func original(path string) string { return path + ".orig" }

func beside(path string, text []byte) string {
	return fmt.Sprintf("%s-%.4x", path, sha256.Sum256(text))
}

// Views are what a diff shows: the text on disk before and after, and in the
// last lines what that text cannot tell. They are equal when d is empty.
func Views(have Have, d Delta) (before, after string) {
	before = string(have.Text) + "# daemon: " + have.daemon() + "\n"
	if len(d) == 0 {
		return before, before
	}
	text, daemon, unit := string(have.Text), have.daemon(), ""
	for _, s := range d {
		switch s.Do {
		case ActStop, ActBack, ActRemove, ActUnitAway, ActDisable:
			for _, path := range have.traces {
				before += "# of ours: " + path + "\n"
			}
			if have.Unit != (Unit{}) {
				before += have.Unit.view()
			}
			return before, have.viewAbsent(d)
		case ActUnit:
			before += have.Unit.view()
			unit = s.Unit.view()
		case ActBoot:
			before += "# at boot: not started\n"
			unit += "# at boot: started\n"
		case ActKeep:
			before += "# copy for a boot with a damaged file: another text\n"
		case ActClean:
			before += "# left by an unfinished change: candidate files\n"
		case ActOriginal:
			// The copy's content is what the diff takes away.
		case ActTry:
			text, daemon = string(s.Text), "runs this file"
			if s.Timeout > 0 {
				daemon = "tries this text; on disk once it is confirmed"
			}
		case ActFinish:
			text, daemon = string(have.Trial), "runs this file"
		case ActInstall:
			text = string(s.Text)
			if have.Daemon.Running {
				daemon = "runs this file"
			}
		case ActStart, ActEnable, ActConfirm, ActUndo, ActLoad, ActHear:
			daemon = "runs this file"
		}
	}
	return before, text + "# daemon: " + daemon + "\n" + unit
}

func (u Unit) view() string {
	return "# drop-in of the service:\n" + u.DropIn + "# its script:\n" + u.Script
}

// daemon says in words what the daemon does, seen from the file on disk.
func (s Have) daemon() string {
	switch {
	case !s.Daemon.Running:
		return "does not run"
	case s.Daemon.Pending:
		return "tries another text and waits for the confirmation"
	case s.Daemon.Runs == "" || s.Daemon.Runs != StampOf(s.Text):
		return "runs another text than this file"
	case len(s.Daemon.Down) > 0:
		return "runs this file, with protocols disabled by hand"
	case len(s.Daemon.Deaf) > 0:
		return "runs this file, and follows no interface of the site"
	}
	return "runs this file"
}
