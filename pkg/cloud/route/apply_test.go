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
		"t: 10.0.0.0/16: was set and does not read so: it goes to them; who else manages it?; "+
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
