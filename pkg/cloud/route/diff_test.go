package route_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
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
			have:  []route.Route{via("us", netip.MustParsePrefix("10.0.0.0/8"))},
			delta: []string{ours},
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
