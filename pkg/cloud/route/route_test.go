package route_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
)

var (
	p1 = netip.MustParsePrefix("10.0.0.0/16")
	p2 = netip.MustParsePrefix("10.2.0.0/16")
	p6 = netip.MustParsePrefix("2001:db8::/32")
)

func want(prefixes ...netip.Prefix) route.Want {
	return route.Want{Mesh: "m", Tables: []string{"t"}, Prefixes: prefixes, Via: "us"}
}

func via(v string, p netip.Prefix) route.Route { return route.Route{Table: "t", Prefix: p, Via: v} }

// said are the changes in words.
func said(delta []route.Change) []string {
	var out []string
	for _, c := range delta {
		out = append(out, c.String())
	}
	return out
}

func TestDiff(t *testing.T) {
	absent := want(p1)
	absent.Absent = true
	whoever := absent
	whoever.Via = ""
	prior := want(p1)
	prior.Priority = 900
	at := func(v string, priority int) route.Route {
		return route.Route{Table: "t", Prefix: p1, Via: v, Priority: priority}
	}
	beside := at("them", 900)
	beside.Beside = true
	foreign := route.Route{Table: "t", Prefix: p1, Foreign: "the peering pcx-1"}
	const ours = "t: 10.0.0.0/16: goes to us now"
	for name, tt := range map[string]struct {
		want    route.Want // p1 to us, where nothing is said
		have    []route.Route
		delta   []string
		refused string
	}{
		"nothing there":    {delta: []string{ours}},
		"right":            {have: []route.Route{via("us", p1)}},
		"IPv6":             {want: want(p6), delta: []string{"t: 2001:db8::/32: goes to us now"}},
		"another router's": {have: []route.Route{via("them", p1)}, delta: []string{ours + ", before to them"}},
		"a black hole":     {have: []route.Route{via("", p1)}, delta: []string{ours + ", before to nothing"}},
		"another prefix":   {have: []route.Route{via("us", p1), via("them", p2)}},
		"another table":    {have: []route.Route{{Table: "u", Prefix: p1, Via: "us"}}, delta: []string{ours}},
		"a default route is no part": {
			have: []route.Route{via("us", netip.MustParsePrefix("10.0.0.0/8"))}, delta: []string{ours},
		},
		"somebody else's, and one that is free": {
			want: want(p1, p2), have: []route.Route{foreign}, delta: []string{"t: 10.2.0.0/16: goes to us now"},
			refused: "t: 10.0.0.0/16: it goes to the peering pcx-1: " +
				"remove that route where it is made, or take the prefix out of `prefixes`",
		},
		"somebody else's, more than one": {
			want: want(p1, p2), have: []route.Route{foreign, {Table: "t", Prefix: p2, Foreign: "the peering pcx-1"}},
			refused: "t: 10.0.0.0/16 and 1 more: it goes to the peering pcx-1: " +
				"remove that route where it is made, or take the prefix out of `prefixes`",
		},
		"each once": {want: want(p1, p1), delta: []string{ours}},
		"absent": {
			want: absent,
			have: []route.Route{via("us", p1), via("us", p2)}, delta: []string{"t: 10.0.0.0/16: no longer goes to us"},
		},
		"absent, another router's": {want: absent, have: []route.Route{via("them", p1)}},
		"absent, somebody else's":  {want: absent, have: []route.Route{foreign}},
		"absent, whosoever": {
			want: whoever, have: []route.Route{via("them", p1)},
			delta: []string{"t: 10.0.0.0/16: no longer goes to them"},
		},
		"absent, whosoever, foreign": {want: whoever, have: []route.Route{foreign}},
		"another's stands beside": {
			want: prior, have: []route.Route{beside},
			delta: []string{"t: 10.0.0.0/16: goes to us with priority 900 now"},
		},
		"another priority": {
			want: prior, have: []route.Route{at("us", 1000), beside},
			delta: []string{"t: 10.0.0.0/16: goes to us with priority 900 now, before to us with priority 1000"},
		},
		"left over half-way": {
			want: prior, have: []route.Route{at("us", 800), at("us", 900)},
			delta: []string{"t: 10.0.0.0/16: no longer goes to us with priority 800"},
		},
		"left over, both wrong": {want: prior, have: []route.Route{at("us", 700), at("us", 800)}, delta: []string{
			"t: 10.0.0.0/16: goes to us with priority 900 now, before to us with priority 700",
			"t: 10.0.0.0/16: no longer goes to us with priority 800",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want.Tables == nil {
				tt.want = want(p1)
			}
			delta, refused := route.Diff(tt.want, tt.have)
			assert.Equal(t, tt.delta, said(delta))
			if tt.refused == "" {
				require.NoError(t, refused)
			} else {
				require.EqualError(t, refused, tt.refused)
			}
			again, _ := route.Diff(tt.want, route.After(tt.have, delta))
			assert.Empty(t, again, "after the changes nothing is left")
		})
	}
}

// What is added comes before what is taken away, and After leaves its argument.
func TestDiffOrder(t *testing.T) {
	w := want(p1, p2)
	w.Priority = 1
	have := []route.Route{
		{Table: "t", Prefix: p1, Via: "us", Priority: 1}, {Table: "t", Prefix: p1, Via: "us", Priority: 2},
	}
	delta := must.Get(route.Diff(w, have))(t)
	assert.Equal(t,
		[]string{
			"t: 10.2.0.0/16: goes to us with priority 1 now",
			"t: 10.0.0.0/16: no longer goes to us with priority 2",
		}, said(delta))
	assert.Len(t, route.After(have, delta), 2)
	assert.Len(t, have, 2)
	assert.Equal(t, 2, have[1].Priority)
}

var quick = cloud.Pace{First: time.Microsecond, Most: 50 * time.Microsecond}

// tables is a table in memory. What others do to it, a test does in hooks.
type tables struct {
	have    []route.Route
	stale   [][]route.Route // what is still read, in order
	onWrite func(c route.Change) error
	read    error // what Observe fails with
	writes  int
}

func (*tables) Via() string { return "us" }

func (t *tables) Observe(_ context.Context, w route.Want) ([]route.Route, error) {
	have := slices.Clone(t.have)
	if len(t.stale) > 0 {
		have, t.stale = t.stale[0], t.stale[1:]
	}
	return slices.DeleteFunc(have, func(r route.Route) bool { return !w.Covers(r) }), t.read
}

func (*tables) Rehearse(_ context.Context, _ route.Want, c route.Change) error {
	return errors.New("no " + c.New.Via)
}

func (t *tables) Write(_ context.Context, _ route.Want, c route.Change) (bool, error) {
	t.writes++
	if t.onWrite != nil {
		if err := t.onWrite(c); err != nil {
			return false, err
		}
	}
	t.have = route.After(t.have, []route.Change{c})
	return true, nil
}

func TestEnsure(t *testing.T) {
	w := want(p1, p2, p6)
	w.Via = ""
	f := &tables{have: []route.Route{via("them", p1), via("them", netip.MustParsePrefix("10.9.0.0/16"))}}
	for _, changes := range []int{3, 0} {
		assert.Len(t, must.Get(route.Ensure(t.Context(), quick, f, w))(t), changes)
	}
	assert.Len(t, f.have, 4)
	assert.Equal(t, "us", f.have[0].Via)
	assert.Contains(t, f.have, via("them", netip.MustParsePrefix("10.9.0.0/16")))
}

// Others write between our read and our write: it is read again.
func TestRace(t *testing.T) {
	f := &tables{have: []route.Route{via("them", p1)}}
	f.onWrite = func(c route.Change) error {
		if c.Old != nil { // the route was taken away
			f.have = nil
			return &cloud.Error{Do: "replace", Kind: cloud.Race}
		}
		return nil
	}
	done := must.Get(route.Ensure(t.Context(), quick, f, want(p1)))(t)
	assert.Equal(t, []string{"t: 10.0.0.0/16: goes to us now"}, done)

	// Somebody has put in a route of another kind.
	f = &tables{}
	f.onWrite = func(route.Change) error {
		f.have = []route.Route{{Table: "t", Prefix: p1, Foreign: "the peering pcx-1"}}
		return &cloud.Error{Do: "create", Kind: cloud.Race}
	}
	_, err := route.Ensure(t.Context(), quick, f, want(p1))
	require.ErrorContains(t, err, "t: 10.0.0.0/16: it goes to the peering pcx-1")
	assert.Equal(t, 1, f.writes)
}

// Old answers are waited out, and nothing is written for them again.
func TestEventuallyConsistent(t *testing.T) {
	old := []route.Route{via("them", p1)}
	f := &tables{have: old, stale: [][]route.Route{old, old, old}}
	assert.Len(t, must.Get(route.Ensure(t.Context(), quick, f, want(p1)))(t), 1)
	assert.Equal(t, 1, f.writes)
	assert.Empty(t, f.stale)
}

// A route that another writer takes back is not fought for.
func TestTakenBack(t *testing.T) {
	f := &tables{}
	w := want(p1)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	other := &taking{tables: f}
	done, err := route.Ensure(ctx, quick, other, w)
	require.EqualError(t, err,
		"t: 10.0.0.0/16: was set and does not read so: it goes to them; find what else sets it; "+
			"still so when `timeout` was over")
	assert.Len(t, done, 1)
	assert.Equal(t, 1, f.writes)
}

type taking struct{ *tables }

func (t *taking) Write(ctx context.Context, w route.Want, c route.Change) (bool, error) {
	changed, err := t.tables.Write(ctx, w, c)
	t.have = []route.Route{via("them", p1)}
	return changed, err
}

// One prefix that fails does not stop the others.
func TestTakesWhatItCan(t *testing.T) {
	f := &tables{have: []route.Route{{Table: "t", Prefix: p6, Foreign: "the NAT gateway nat-1"}}}
	f.onWrite = func(c route.Change) error {
		if c.New.Prefix == p1 {
			return &cloud.Error{Do: "t: 10.0.0.0/16", Code: "Full"}
		}
		return nil
	}
	done, err := route.Ensure(t.Context(), quick, f, want(p1, p2, p6))
	assert.Equal(t, []string{"t: 10.2.0.0/16: goes to us now"}, done)
	require.ErrorContains(t, err, "t: 2001:db8::/32: it goes to the NAT gateway nat-1")
	require.ErrorContains(t, err, "t: 10.0.0.0/16: Full")
	assert.Equal(t, []netip.Prefix{p6, p1}, route.Failed(err))
	f.read = errors.New("no answer")
	_, err = route.Ensure(t.Context(), quick, f, want(p1, p2, p6))
	assert.Empty(t, route.Failed(err))
}

func TestWarnings(t *testing.T) {
	delta := must.Get(route.Diff(want(p1, p2), nil))(t)
	assert.Equal(t, []string{"no us"}, route.Rehearse(t.Context(), &tables{}, want(p1, p2), delta), "each once")

	r := via("us", p1)
	r.Trouble = "NEXT_HOP_NOT_RUNNING"
	assert.Equal(t,
		[]string{"t: 10.0.0.0/16: the route to us carries nothing: NEXT_HOP_NOT_RUNNING"},
		route.Troubles(want(p1), []route.Route{r, via("us", p2)}))
}
