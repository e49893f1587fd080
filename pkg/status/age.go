package status

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// What has an age. The words are the values of a result and of a label.
const (
	PrivateKey    = "private_key"
	PresharedKey  = "preshared_key"
	Image         = "image"
	Drain         = "drain"
	WaitingChange = "waiting_change"
)

// A Made is when something of this router was made, or began.
type Made struct {
	What string
	Peer string // of a pre-shared key
	At   time.Time
}

// An Age is the same as the module returns it.
type Age struct {
	What    string `json:"what"`
	Peer    string `json:"peer"`
	Seconds int    `json:"seconds"`
}

// Ages lists the age of everything that has one; it is never nil.
func Ages(o Observation) []Age {
	out := []Age{}
	for _, m := range o.made() {
		out = append(out, Age{m.What, m.Peer, int(max(0, o.At.Sub(m.At).Seconds()))})
	}
	return out
}

func (o *Observation) made() []Made {
	if !o.Drained.On() {
		return o.Made
	}
	return append(append([]Made{}, o.Made...), Made{What: Drain, At: o.Drained.Since})
}

// ageLines are the ages of keys and image, in lines of the table's width.
func ageLines(o *Observation) []string {
	var own, shared []string
	for _, m := range o.Made {
		old := age(o.At.Sub(m.At))
		switch m.What {
		case PrivateKey:
			own = append(own, "private key "+old)
		case Image:
			own = append(own, "image "+old)
		case PresharedKey:
			shared = append(shared, m.Peer+" "+old)
		}
	}
	return append(wrapped("age: ", own), wrapped("age of pre-shared keys: ", shared)...)
}

// wrapped puts words after a head into lines of the table's width.
func wrapped(head string, words []string) (lines []string) {
	line := head
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		if line != head && utf8.RuneCountInString(line+w)+1 > tableWidth {
			lines, line = append(lines, strings.TrimRight(line, " ")), "  "
		}
		line += w + " "
	}
	if len(words) == 0 {
		return nil
	}
	return append(lines, strings.TrimRight(line, " "))
}

const newImage = "make a new one, or upgrade its packages (docs/rolling.md)"

// ageNotes say what is old, what waits, and what to do. None of it is a fault.
func ageNotes(r *Request, o *Observation) []string {
	var old []Made
	notes := futureNotes(r, o)
	for _, m := range o.Made {
		d := o.At.Sub(m.At)
		switch {
		case m.What == PrivateKey && r.KeyWarn > 0 && d > r.KeyWarn:
			notes = append(notes, fmt.Sprintf("the private key is %s old: make a new one (docs/at-night.md)", age(d)))
		case m.What == PresharedKey && r.KeyWarn > 0 && d > r.KeyWarn:
			old = append(old, m)
		case m.What == Image && r.ImageWarn > 0 && d > r.ImageWarn:
			notes = append(notes, fmt.Sprintf("the image is %s old: %s", age(d), newImage))
		case m.What == WaitingChange && o.UndoFails != "":
			notes = append(notes, fmt.Sprintf(
				"a change, %s old, cannot be taken back (%s): mend that, it is tried again", age(d), o.UndoFails))
		case m.What == WaitingChange:
			notes = append(notes,
				fmt.Sprintf("a change waits for its confirmation for %s: docs/guard.md says how to settle it", age(d)))
		}
	}
	if len(old) > 0 {
		oldest := old[0]
		for _, m := range old {
			if m.At.Before(oldest.At) {
				oldest = m
			}
		}
		notes = append(notes, fmt.Sprintf(
			"pre-shared keys that are old: %d, the oldest is that of %s with %s: make new ones (docs/at-night.md)",
			len(old), oldest.Peer, age(o.At.Sub(oldest.At))))
	}
	if o.Reboot != "" {
		notes = append(notes, fmt.Sprintf("a reboot is required (%s): run wgmesh.router.drain before it", o.Reboot))
	}
	if c := failoverCause(r, o); c.Found != "" {
		if !o.FailoverRuns {
			c.Found += ", so no route table follows the routers"
		}
		notes = append(notes, c.String())
	}
	if (r.Failover || r.FailoverPlan != nil) && o.FailoverFails != "" {
		notes = append(notes, vain(o)+": see journalctl -u wgmesh-failover")
	}
	return notes
}

// futureNotes say whose age is not known: the clock was wrong when it was made.
func futureNotes(r *Request, o *Observation) (notes []string) {
	var shared []Made
	for _, m := range o.Made {
		was := " was made in the future (" + m.date() + "): the clock was wrong then; "
		switch {
		case m.At.Sub(o.At) <= 24*time.Hour: // clocks differ a little
		case m.What == PrivateKey && r.KeyWarn > 0:
			notes = append(notes, "the private key"+was+"make a new one (docs/at-night.md)")
		case m.What == Image && r.ImageWarn > 0:
			notes = append(notes, "the image"+was+newImage)
		case m.What == PresharedKey && r.KeyWarn > 0:
			shared = append(shared, m)
		}
	}
	if len(shared) > 0 {
		notes = append(notes, fmt.Sprintf("pre-shared keys were made in the future (%s), %d of them, "+
			"the first is that of %s: the clock was wrong then; make new ones (docs/at-night.md)",
			shared[0].date(), len(shared), shared[0].Peer))
	}
	return notes
}

func (m Made) date() string { return m.At.UTC().Format(time.DateOnly) }

func (m *metrics) ages(o *Observation) {
	m.metric("wgmesh_made_seconds", "gauge",
		"When a key, the image, a drain or a change that waits was made, in Unix time.")
	for _, made := range o.made() {
		if made.What == PresharedKey {
			m.sample(seconds(made.At), "what", made.What, "peer", made.Peer)
		} else {
			m.sample(seconds(made.At), "what", made.What)
		}
	}
	m.metric("wgmesh_reboot_required", "gauge",
		"Whether the system asks for a reboot, or has a newer kernel than it runs.")
	m.sample(truth(o.Reboot != ""))
}

// agedNotes say what a router has run for long and nobody looks at: programs that no run of the
// mesh play brings, an Ansible that an upgrade of the distribution took away, and the clock.
func (o *Observation) agedNotes(r *Request) (notes []string) {
	note := func(c cause.Cause) { notes = append(notes, c.String()) }
	if r.ImageWarn > 0 && !slices.ContainsFunc(o.Made, func(m Made) bool { return m.What == Image }) {
		note(cause.New("the image play has not come to its end here (no %s): run wgmesh.router.image", plan.ImageFile))
	}
	joins := func(program string) bool { return program == plan.JoinProgram || program == plan.JoinCloud }
	if i := slices.IndexFunc(o.OtherBuild, joins); i >= 0 { // they come together
		note(cause.New("it joins by itself with another build (%s) than this collection's: run wgmesh.router.upgrade",
			o.OtherBuild[i]))
	}
	if slices.Contains(o.OtherBuild, plan.FailoverProgram) {
		note(cause.New("wgmesh-failover is another build (%s) than this collection's: run wgmesh.router.routes",
			plan.FailoverProgram))
	}
	if o.AnsibleDead {
		note(cause.New("%s has lost its Python, so it cannot join by itself: run wgmesh.router.image for this router",
			filepath.Dir(plan.AnsibleBin)))
	}
	if o.ClockFree {
		note(cause.New("nothing keeps its clock right, as the kernel says (STA_UNSYNC): " +
			"look at chronyc tracking, and for rtcsync in chrony.conf"))
	}
	for _, play := range slices.Sorted(maps.Keys(o.Unready)) {
		note(cause.New("after the next boot it will not be as it is now (%s): run %s",
			cause.List(o.Unready[play]), play))
	}
	if len(o.Defeated) > 0 {
		note(cause.New("files of others undo the mesh's kernel settings (%s): mend those lines",
			cause.List(o.Defeated)))
	}
	if o.BootErr != nil {
		note(cause.New("what the next boot starts is not known (%s): "+
			"run it again, and look at systemctl is-system-running", o.BootErr))
	}
	if folders := slices.Sorted(maps.Keys(o.Closed)); len(folders) > 0 { // one disk, as a rule
		note(cause.New("no change can be made here, %s: %s: make room and make it writable",
			folders[0], o.Closed[folders[0]]))
	}
	return notes
}
