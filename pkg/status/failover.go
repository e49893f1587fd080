package status

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/plan"
)

// A FailoverState is how the daemon is that keeps route tables of the cloud at routers that
// live. Trouble is empty when it watches what is planned, or nothing is, and moves what it has to.
// Rests are the tables of which nothing is left to do: a call that hangs is in neither.
type FailoverState struct {
	Runs    bool     `json:"runs"`
	Trouble string   `json:"trouble"`
	Rests   []string `json:"rests"`
}

// FailoverOf judges the daemon of this router.
func FailoverOf(r Request, o Observation) FailoverState {
	f := FailoverState{o.FailoverRuns, failoverCause(&r, &o).Found, o.FailoverRests}
	if f.Trouble == "" && f.Runs && o.FailoverFails != "" {
		f.Trouble = vain(&o)
	}
	return f
}

// vain says which table it cannot move.
func vain(o *Observation) string { return "wgmesh-failover tries in vain (" + o.FailoverFails + ")" }

// failoverCause says why the tables do not follow the routers as planned.
func failoverCause(r *Request, o *Observation) cause.Cause {
	if !o.FailoverRuns {
		if r.Failover || r.FailoverPlan != nil && len(r.FailoverPlan.Peers) > 0 {
			return cause.Cause{Found: "wgmesh-failover does not run", Do: "run wgmesh.router.routes"}
		}
		return cause.Cause{}
	}
	if r.FailoverPlan == nil {
		return cause.Cause{}
	}
	planned, watched := watches(*r.FailoverPlan), watches(o.Watched)
	all := maps.Clone(planned)
	maps.Copy(all, watched)
	maps.DeleteFunc(all, func(what, _ string) bool { return planned[what] == watched[what] })
	if len(all) == 0 {
		return cause.Cause{}
	}
	what := slices.Sorted(maps.Keys(all))
	if slices.ContainsFunc(what, func(w string) bool { return strings.HasPrefix(w, partnerOf) }) {
		// They have to know of it as well.
		return cause.New("wgmesh-failover watches an older plan (%s): run wgmesh.router.routes without --limit",
			cause.List(what))
	}
	return cause.New("wgmesh-failover watches an older plan (%s): run wgmesh.router.routes", cause.List(what))
}

const partnerOf = "partner "

// watches has all that the daemon acts by, each in words with what there is to know of it.
// What is a list is one without an order.
func watches(f plan.Failover) map[string]string {
	out := map[string]string{"BFD's interval": fmt.Sprint(f.After)}
	for _, p := range f.Prefixes {
		out["network "+p.String()] = "planned"
	}
	for _, t := range f.Tables {
		out["table "+t] = "planned"
	}
	for _, p := range f.Peers {
		out["peer "+p.Name] = fmt.Sprint(p.BFDSession)
	}
	for _, p := range f.Partners {
		out[partnerOf+p.Name] = fmt.Sprint(p.BFDSession, slices.Sorted(slices.Values(p.Tables)),
			slices.Sorted(slices.Values(p.Before)))
	}
	return out
}
