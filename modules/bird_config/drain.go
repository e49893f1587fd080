package birdconfig

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

func (o Options) validateDrain() error {
	drains := o.State == Drained || o.State == bird.Applied && o.Drain != nil && *o.Drain
	switch {
	case o.DrainWhy != "" && !drains && o.State != Undrained:
		return errors.New(
			"drain_why: nothing is drained here: expected state: drained or undrained, or drain: true, beside it")
	case o.Drain != nil && o.State != bird.Applied:
		return fmt.Errorf("drain: it goes with state: applied, not %s: use state: drained or undrained", o.State)
	}
	return plan.Drain{Why: o.DrainWhy}.Validate()
}

// redrains reports whether a drain is all that is asked for.
func (o Options) redrains() bool { return o.State == Drained || o.State == Undrained }

// takesBack reports whether the router is drained as wanted once the change that waits is
// taken back: whoever drained or undrained it was cut off before the confirmation.
func (o Options) takesBack(have bird.Have) bool {
	wanted := o.State == Drained
	return o.redrains() && have.Daemon.Pending &&
		bird.Drained(have.Present()).On() != wanted && bird.Drained(have.Text).On() == wanted
}

// drain is what the router's drain is to be. One that is drained stays so since when it
// was, and for the same reason unless it is drained for a new one.
func (o Options) drain(have plan.Drain, now time.Time) plan.Drain {
	switch {
	case o.State == Undrained || o.Drain != nil && !*o.Drain:
		return plan.Drain{}
	case o.State != Drained && o.Drain == nil:
		return have
	case !have.On():
		have = plan.Drain{Since: now.UTC().Truncate(time.Second)}
	}
	if o.State == Drained || have.Why == "" {
		have.Why = cmp.Or(o.DrainWhy, have.Why)
	}
	return have
}

// refuseUndrain reports that the router is drained for another reason than the one that has
// ended: somebody, or another run, has taken it over meanwhile.
func (o Options) refuseUndrain(have plan.Drain) error {
	if o.State != Undrained || o.DrainWhy == "" || !have.On() || have.Why == o.DrainWhy {
		return nil
	}
	return cause.New("it was drained again meanwhile (%s): leave it to whoever did that",
		cmp.Or(have.Why, "nobody said why"))
}

// refuseDrain reports that the router is drained already for a reason that this one does not
// take over. One of a run is its kind, ", run " and its name: such a run goes on where one of
// its kind was cut off. What is replaced goes, whatever it was drained for.
func (o Options) refuseDrain(have bird.Have) error {
	had := bird.Drained(have.Present())
	if o.takesBack(have) {
		had = bird.Drained(have.Text)
	}
	kind, _, run := strings.Cut(o.DrainWhy, ofRun)
	hadKind, _, hadRun := strings.Cut(had.Why, ofRun)
	switch {
	case o.State != Drained || !had.On():
	case run && kind != "replace" && kind != hadKind:
		return cause.New("it is drained (%s): leave it out of the run, or undrain it first",
			cmp.Or(had.Why, "nobody said why"))
	case hadRun && o.DrainWhy == "":
		return cause.New("it is drained by another run (%s): wait for it, or give a reason of your own", had.Why)
	}
	return nil
}

const ofRun = ", run "

// drained has the result say what the router's drain is when the change is done.
func drained(p *ansible.Plan, d plan.Drain) {
	p.Return["drained"], p.Return["drained_why"] = d.On(), d.Why
}
