package model

// A state is what has failed.
type state struct {
	router, tunnel   []bool // nil: none
	routers, tunnels []int  // the same as lists
}

func (d state) down(i int, s *session) bool {
	return d.router != nil && (d.router[i] || d.router[s.peer] || d.tunnel[s.tunnel])
}

func (n *Network) settled(p int) []way {
	row := make([]way, len(n.routers))
	var queue []int
	for i, r := range n.routers {
		row[i].from = nowhere
		if r.static[p] {
			row[i] = n.own(i)
			queue = append(queue, i)
		}
	}
	n.spread(p, row, state{}, queue)
	return row
}

func (n *Network) own(i int) way { return way{from: ownSite, out: prepend(n.routers[i].as, nil)} }

// without returns the ways to a prefix after a failure, which are those of before where
// nobody's way led over what failed.
//
// Everything that hangs on a lost way is taken away first, and then what is left is
// told anew. BIRD comes to the same by and by; following it there, with all the paths
// that are tried and are gone already, takes a thousand times as long.
func (n *Network) without(p int, d state) (row []way, changed bool) {
	lost := n.lost(p, d)
	if lost == nil {
		return n.healthy[p], false
	}
	row = make([]way, len(n.routers))
	copy(row, n.healthy[p])
	for i := range row {
		if lost[i] {
			row[i] = way{from: nowhere}
		}
	}
	var queue []int
	for i := range row {
		if lost[i] && !d.router[i] {
			if n.choose(p, i, row, d); row[i].from != nowhere {
				queue = append(queue, i)
			}
		}
	}
	n.spread(p, row, d, queue)
	return row, true
}

// lost marks the routers whose way leads over what failed, nil when it is none's.
func (n *Network) lost(p int, d state) []bool {
	row := n.healthy[p]
	if !n.touched(row, d) {
		return nil
	}
	var out []bool
	for i := range row {
		for at, hops := i, 0; hops <= len(row); hops++ {
			w := row[at]
			if d.router[at] && w.from != nowhere || w.from >= 0 && n.cut(at, w.from, d) {
				if out == nil {
					out = make([]bool, len(row))
				}
				out[i] = true
				break
			}
			if w.from < 0 {
				break
			}
			at = w.from
		}
	}
	return out
}

// touched reports whether any way leads over what failed. As a rule a tunnel that fails
// is on the ways to few prefixes.
func (n *Network) touched(row []way, d state) bool {
	for _, i := range d.routers {
		if row[i].from != nowhere {
			return true
		}
	}
	for _, t := range d.tunnels {
		if a, b := n.tunnels[t].ends[0], n.tunnels[t].ends[1]; row[a].from == b || row[b].from == a {
			return true
		}
	}
	return false
}

func (n *Network) cut(i, peer int, d state) bool {
	s := n.session(i, peer)
	return s == nil || d.down(i, s)
}

func (n *Network) session(i, peer int) *session {
	if k := n.routers[i].to[peer]; k >= 0 {
		return &n.routers[i].sessions[k]
	}
	return nil
}

// choose takes the best of all that router k is told.
func (n *Network) choose(p, k int, row []way, d state) {
	row[k] = way{from: nowhere}
	if n.routers[k].static[p] {
		row[k] = n.own(k)
		return
	}
	for i := range n.routers[k].sessions {
		s := &n.routers[k].sessions[i]
		if d.down(k, s) {
			continue
		}
		if w, found := n.told(p, s.peer, &n.routers[s.peer].sessions[s.back], row[s.peer]); found &&
			n.better(w, row[k]) {
			n.take(k, row, w)
		}
	}
}

func (n *Network) take(k int, row []way, w way) {
	w.out = prepend(n.routers[k].as, w.path)
	row[k] = w
}

// spread tells the neighbours of the routers in queue what these have now, and the
// neighbours' neighbours what follows from it, until nobody changes his mind.
func (n *Network) spread(p int, row []way, d state, queue []int) {
	waits := make([]bool, len(row))
	for _, i := range queue {
		waits[i] = true
	}
	for patience := 100 * len(row) * (len(row) + 1); len(queue) > 0 && patience > 0; patience-- {
		i := queue[0]
		queue = queue[1:]
		waits[i] = false
		for k := range n.routers[i].sessions {
			s := &n.routers[i].sessions[k]
			if d.down(i, s) {
				continue
			}
			before := row[s.peer]
			w, found := n.told(p, i, s, row[i])
			switch {
			case found && n.better(w, before):
				n.take(s.peer, row, w)
			case before.from == i && (!found || !same(w, before)):
				n.choose(p, s.peer, row, d)
			}
			if after := row[s.peer]; !same(after, before) && !waits[s.peer] {
				waits[s.peer] = true
				queue = append(queue, s.peer)
			}
		}
	}
}

// same reports whether two ways are one to everybody who is told of them.
func same(a, b way) bool {
	if a.from != b.from || a.inside != b.inside || a.shutdown != b.shutdown || a.pref != b.pref || a.med != b.med {
		return false
	}
	p, q := a.path, b.path
	for ; p != q; p, q = p.next, q.next {
		if p == nil || q == nil || p.as != q.as {
			return false
		}
	}
	return true
}
