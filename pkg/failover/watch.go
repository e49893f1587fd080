// Package failover keeps a site's route tables pointed at routers that are there: it decides which
// tables this router has to point at itself, from nothing but BIRD's BFD sessions, and has it done.
//
// A router only ever points tables at itself, its own zone's always and a partner's while that one
// is down. So nobody is elected, nothing is shared, and nobody has to give anything back: the
// partner takes its own again when it is well.
package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/plan"
)

// Seen is what BIRD says at one moment. Nil means that it did not answer.
type Seen struct {
	// Up are the BFD sessions that are up.
	Up map[plan.BFDSession]bool
	// Drained has, of each partner that reports it, whether it is drained.
	Drained map[plan.BFDSession]bool
	// Self reports whether this router is drained.
	Self bool
}

// An Order is a table that has to point at this router. It is to be carried out
// once for each number, and only as long as it stands. Number 0 is a table that another
// router is to take: of that only what stays with a router that is gone is to be taken.
type Order struct {
	Table  string
	Number int
	Why    string
}

const (
	// blindness is how long BIRD may be silent before that counts as having no session. A busy
	// machine makes it late; one that ended takes longer to come back with its sessions up.
	blindness = 3 * time.Second
	// recheck is how often our own tables are looked at although nothing
	// happened: somebody may have changed them by hand.
	recheck = time.Minute
	// leastGrant is what doubles for a partner that flaps when After is 0.
	leastGrant = 100 * time.Millisecond
	// mostFlaps bounds the doubling.
	mostFlaps = 16
	// lookAfter is why our own tables are looked at although nothing happened.
	lookAfter = "looking after its own tables"
)

// A Watch is what has been seen so far. It knows no clock, no BIRD and no cloud:
// Step is told what is, and says what follows.
type Watch struct {
	config   Config
	began    time.Time
	said     string // about being well
	partners []partner
	blind    time.Time // since when BIRD is silent; zero while it answers
	well     bool      // a session to another site is up
	wellAt   time.Time // since when we are well
	changed  time.Time // when well or the session of a partner changed last
	settled  bool      // neither did for BackAfter, and we are well
	own      Order     // for our own tables, without their names; Number 0 is none
	checked  time.Time // when own was given
	number   int       // of the last order
}

// A partner is what has been seen of a Partner.
type partner struct {
	plan.FailoverPartner
	up      bool
	since   time.Time // when up changed
	known   bool      // it was up since we are well
	flaps   int       // how often in a row it went down soon after it had come up
	drained bool      // it said so when it last said anything
	down    bool      // it is taken for dead, or is drained
	order   int       // the number of the order for its tables, 0 for none
	defers  bool      // another one is to take its tables
}

// NewWatch begins to watch. Until it is told otherwise nothing is up.
func NewWatch(c Config, now time.Time) *Watch {
	w := &Watch{config: c, began: now, changed: now}
	for _, p := range c.Partners {
		w.partners = append(w.partners, partner{FailoverPartner: p, since: now})
	}
	return w
}

// Step takes what is seen now. It returns the orders that stand, by table, and
// for the journal what is new.
func (w *Watch) Step(now time.Time, seen *Seen) (orders []Order, news []string) {
	if seen == nil {
		if w.blind.IsZero() {
			w.blind = now
		}
		if now.Sub(w.blind) >= blindness {
			w.setWell(now, false)
			news = w.tell(now, "BIRD does not answer: leaving the route tables as they are")
		}
		return w.standing(), news
	}
	w.blind = time.Time{}
	w.look(now, seen)
	last := seen.Self && w.alone(now)
	if seen.Self && !last {
		w.setWell(now, false)
		return nil, w.tell(now, "this router is drained: leaving the route tables to the others")
	}
	w.setWell(now, slices.ContainsFunc(w.config.Peers, func(p plan.FailoverPeer) bool { return seen.Up[p.BFDSession] }))
	if !w.well {
		return nil, w.tell(now, "no router of another site is in reach: leaving the route tables as they are")
	}
	line := "other sites are in reach"
	if last {
		line = "this router is drained, and its site has no other one: other sites are in reach by it alone"
	}
	news = append(w.tell(now, line), w.judge(now)...)
	return w.standing(), news
}

// alone reports whether no partner has been there for so long that a drained router is the
// last way out of its site. That is for BGP to find in a moment; here a router that was
// drained to be rebooted waits longer, and finds its partners first.
func (w *Watch) alone(now time.Time) bool {
	return len(w.partners) > 0 && !slices.ContainsFunc(w.partners, func(p partner) bool {
		return p.up || now.Sub(p.since) < w.config.backAfter()
	})
}

// tell says once how we are, and in the first seconds nothing bad.
func (w *Watch) tell(now time.Time, line string) []string {
	if line == w.said || !w.well && w.said == "" && now.Sub(w.began) < w.config.startAfter() {
		return nil
	}
	w.said = line
	return []string{line}
}

// look takes over which partners' sessions are up.
func (w *Watch) look(now time.Time, seen *Seen) {
	for i := range w.partners {
		p := &w.partners[i]
		up := seen.Up[p.BFDSession]
		if drained, known := seen.Drained[p.BFDSession]; known {
			p.drained = drained
		}
		if up == p.up {
			continue
		}
		switch {
		case up:
		case now.Sub(p.since) < w.config.backAfter():
			p.flaps = min(p.flaps+1, mostFlaps)
		default:
			p.flaps = 0
		}
		p.up, p.since, w.changed = up, now, now
	}
}

// setWell notes whether we are well. Without that nothing of ours stands, and a
// partner that is not up when we become well may only be as late as we were.
func (w *Watch) setWell(now time.Time, well bool) {
	if well == w.well {
		return
	}
	w.well, w.wellAt, w.changed = well, now, now
	w.settled, w.own = false, Order{}
	for i := range w.partners {
		p := &w.partners[i]
		p.known, p.down, p.defers, p.order = false, false, false, 0
	}
}

// judge finds the partners that are down, and gives and takes back orders.
func (w *Watch) judge(now time.Time) (news []string) {
	var why string
	anyDown := false
	for i := range w.partners {
		p := &w.partners[i]
		p.known = p.known || p.up
		was := p.down
		p.down = w.isDown(now, *p)
		switch {
		case p.down && !was:
			why = p.state()
			if len(p.Tables) == 0 {
				news = append(news, why)
			}
		case was && !p.down:
			news = append(news, p.Name+" is up again")
		}
		anyDown = anyDown || p.down
	}
	if why != "" { // whoever fell may have stood in for another one that is down
		for i := range w.partners {
			if p := &w.partners[i]; p.order > 0 {
				w.number++
				p.order = w.number
			}
		}
	}
	for i := range w.partners {
		news = append(news, w.standIn(&w.partners[i])...)
	}
	settled := now.Sub(w.changed) >= w.config.backAfter()
	switch {
	case why != "": // whoever fell may have stood in for us
	case settled && !w.settled:
		why = fmt.Sprintf("well for %g s", w.config.backAfter().Seconds())
	case w.own.Number > 0 && now.Sub(w.checked) >= recheck:
		why = lookAfter
	}
	if why != "" {
		w.number++
		w.own, w.checked = Order{Number: w.number, Why: why}, now
	} else if !settled && !anyDown {
		w.own = Order{}
	}
	w.settled = settled
	return news
}

// state says what is with a partner that is down.
func (p partner) state() string {
	if p.drained {
		return p.Name + " is drained"
	}
	return p.Name + " is down"
}

// isDown reports whether others are to do a partner's work, because it is drained or to be
// taken for dead. Each time it went down soon after it had come up doubles the time that
// it is granted, so that tables do not follow a session that flaps.
func (w *Watch) isDown(now time.Time, p partner) bool {
	switch {
	case p.up:
		return p.drained
	case p.drained && p.down: // it went away, as it was drained for
		return true
	case !p.known:
		return now.Sub(w.wellAt) >= w.config.startAfter()
	}
	grant := w.config.after()
	if p.flaps > 0 {
		grant = min(max(grant, leastGrant)<<p.flaps, max(grant, w.config.backAfter()))
	}
	return now.Sub(p.since) >= grant
}

// standIn gives the order for the tables of a partner that is down, unless a
// router that is not down goes before us.
func (w *Watch) standIn(p *partner) (news []string) {
	if !p.down || len(p.Tables) == 0 {
		p.order, p.defers = 0, false
		return nil
	}
	i := slices.IndexFunc(w.partners, func(other partner) bool {
		return !other.down && slices.Contains(p.Before, other.Name)
	})
	if i >= 0 {
		if !p.defers {
			news = append(news,
				fmt.Sprintf("%s: leaving %s to %s", p.state(), strings.Join(p.Tables, ", "), w.partners[i].Name))
		}
		p.order, p.defers = 0, true
		return news
	}
	if p.order == 0 {
		w.number++
		p.order, p.defers = w.number, false
		news = append(news, fmt.Sprintf("%s: taking %s", p.state(), strings.Join(p.Tables, ", ")))
	}
	return news
}

// standing lists the orders that stand.
func (w *Watch) standing() []Order {
	var out []Order
	for _, p := range w.partners {
		for _, table := range p.Tables {
			if p.order > 0 || p.defers {
				out = append(out, Order{Table: table, Number: p.order, Why: p.state()})
			}
		}
	}
	for _, table := range w.config.Tables {
		if w.own.Number > 0 {
			out = append(out, Order{Table: table, Number: w.own.Number, Why: w.own.Why})
		}
	}
	return out
}
