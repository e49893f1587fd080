package model

import (
	"slices"
)

// A Cut is traffic that does not arrive although both its ends live.
type Cut struct {
	From    string   `json:"from"`    // a site
	Routers []string `json:"routers"` // of it, whose packets are lost
	Whole   bool     `json:"whole"`   // these are all that live
	To      string   `json:"to"`      // a site
	Why     string   `json:"why"`     // NoRoute, Loop, NotAllowed or Stolen
}

// A Case is what some faults come to.
type Case struct {
	Faults []Fault  `json:"faults"`
	Cut    []Cut    `json:"cut"`
	Gone   []string `json:"gone"`   // sites that have no router left
	Moved  int      `json:"moved"`  // ways of a router to a prefix that are others than in health, and arrive
	Uneven int      `json:"uneven"` // pairs of routers whose packets come back another way
}

// A Report is what every fault comes to, and every pair of them.
type Report struct {
	Routers  int `json:"routers"`
	Tunnels  int `json:"tunnels"`
	Prefixes int `json:"prefixes"`
	Singles  int `json:"singles"` // routers, tunnels, and those zones, sites and underlays that are more
	Doubles  int `json:"doubles"` // 0: not looked at
	// Plain are those of both that are of routers and tunnels alone.
	Plain   int    `json:"plain"`
	Healthy Case   `json:"healthy"`
	Single  []Case `json:"single"` // all of them
	Double  []Case `json:"double"` // those that cut what neither fault cuts alone
	Moved   int    `json:"moved"`  // of all cases together
}

// Report looks at every fault, and at every pair of them when that is asked for.
func (n *Network) Report(doubles bool) Report {
	faults, plain := n.Faults()
	out := Report{
		Routers: len(n.routers), Tunnels: len(n.tunnels), Prefixes: len(n.prefixes), Singles: len(faults), Plain: plain,
		Double: []Case{}, Single: []Case{},
	}
	out.Healthy = n.After().Case()
	for _, f := range faults {
		c := n.After(f).Case()
		out.Moved += c.Moved
		out.Single = append(out.Single, c)
	}
	if !doubles {
		return out
	}
	for j := range faults {
		for i := range j {
			c := n.After(faults[i], faults[j]).Case()
			out.Doubles++
			if i < plain && j < plain {
				out.Plain++
			}
			out.Moved += c.Moved
			c.Cut = slices.DeleteFunc(c.Cut, func(cut Cut) bool {
				return includes(out.Single[i].Cut, cut) || includes(out.Single[j].Cut, cut)
			})
			c.Gone = slices.DeleteFunc(c.Gone, func(site string) bool {
				return slices.Contains(out.Single[i].Gone, site) || slices.Contains(out.Single[j].Gone, site)
			})
			if len(c.Cut)+len(c.Gone) > 0 {
				out.Double = append(out.Double, c)
			}
		}
	}
	return out
}

// includes reports whether the list has the cut, or one of more routers of that site.
func includes(list []Cut, cut Cut) bool {
	return slices.ContainsFunc(list, func(c Cut) bool {
		return c.From == cut.From && c.To == cut.To && (c.Whole || !cut.Whole) &&
			!slices.ContainsFunc(cut.Routers, func(r string) bool { return !slices.Contains(c.Routers, r) })
	})
}

// Case says what the faults of the view come to.
func (v *View) Case() Case {
	n := v.n
	out := Case{Faults: v.faults, Cut: []Cut{}, Gone: []string{}}
	if out.Faults == nil {
		out.Faults = []Fault{}
	}
	for _, s := range n.sites {
		if len(v.faults) > 0 && !v.lives(s.routers) {
			out.Gone = append(out.Gone, s.name)
		}
	}
	look := v.changed
	if len(v.faults) == 0 {
		look = make([]int, len(n.prefixes))
		for p := range look {
			look[p] = p
		}
	}
	healthy := &View{n: n, ways: n.healthy, down: n.state(nil)}
	var now, before []int
	for _, p := range look {
		to := slices.IndexFunc(n.sites, func(s site) bool { return s.as == n.prefixes[p].as })
		if to < 0 || !v.lives(n.sites[to].routers) {
			continue
		}
		for i := range n.routers {
			if v.down.router[i] || n.routers[i].at == to {
				continue
			}
			var why, was string
			if now, why = v.walk(p, i, now); why != "" {
				out.Cut = v.add(out.Cut, i, to, why)
				continue
			}
			if before, was = healthy.walk(p, i, before); was == "" && !slices.Equal(now, before) {
				out.Moved++
			}
		}
	}
	for i, c := range out.Cut {
		for _, s := range n.sites {
			if s.name == c.From {
				alive := 0
				for _, r := range s.routers {
					if !v.down.router[r] {
						alive++
					}
				}
				out.Cut[i].Whole = alive == len(c.Routers)
			}
		}
	}
	out.Uneven = v.uneven(look)
	return out
}

func (v *View) lives(routers []int) bool {
	return slices.ContainsFunc(routers, func(i int) bool { return !v.down.router[i] })
}

func (v *View) add(cuts []Cut, router, to int, why string) []Cut {
	r := v.n.routers[router]
	for i, c := range cuts {
		if c.From == r.site && c.To == v.n.sites[to].name && c.Why == why {
			if !slices.Contains(c.Routers, r.name) {
				cuts[i].Routers = append(c.Routers, r.name)
			}
			return cuts
		}
	}
	return append(cuts, Cut{From: r.site, Routers: []string{r.name}, To: v.n.sites[to].name, Why: why})
}

// uneven counts the pairs of routers of different sites of which one has a way among
// these prefixes, and whose packets to each other's homes do not take one way back and
// forth. Two routers of one zone are always such: the lower id gets what comes in.
func (v *View) uneven(prefixes []int) (count int) {
	n := v.n
	changed := make([]bool, len(n.prefixes))
	for _, p := range prefixes {
		changed[p] = true
	}
	var there, back []int
	for j := range n.routers {
		for i := range j {
			a, b := n.routers[i], n.routers[j]
			if a.at == b.at || a.home < 0 || b.home < 0 || v.down.router[i] || v.down.router[j] ||
				!changed[a.home] && !changed[b.home] {
				continue
			}
			var lost, lostToo string
			there, lost = v.walk(b.home, i, there)
			back, lostToo = v.walk(a.home, j, back)
			slices.Reverse(back)
			if lost == "" && lostToo == "" && !slices.Equal(there, back) {
				count++
			}
		}
	}
	return count
}
