// Package route is what the clouds' route tables have in common: a route sends what is for a prefix
// to a router, which the cloud names by its network interface (AWS), its instance (GCP) or an
// address (Azure). It holds what is wanted, what follows from that and from what is there, and the
// order in which to make it so. It knows no cloud's API.
//
// A package of a cloud connects, and Ensure does the rest, as often as needed:
//
//	tables, err := aws.ConnectRoutes(ctx, aws.RouteOptions{Pace: cloud.DefaultPace()})
//	done, err := route.Ensure(ctx, cloud.DefaultPace(), tables, route.Want{
//		Mesh: "example", Tables: []string{"rtb-0a"}, Prefixes: networksOfOtherSites,
//	})
//
// Without Via the routes go to the router that this runs on. One connection
// serves for days: credentials are renewed. ctx ends what takes too long.
package route

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Mark is the key of the tag that says to which mesh a route table belongs on AWS, where routes
// have none, and with the mesh's name after it the description of a route on GCP.
const Mark = "wgmesh.router"

// A Want says which routes shall be there, or shall not.
type Want struct {
	Mesh     string         // what carries another mesh's mark is not touched
	Tables   []string       // by their ids
	Prefixes []netip.Prefix // the other sites' networks
	Via      string         // "" for the router that this runs on
	Priority int            // GCP: the lower one wins; elsewhere 0
	Absent   bool           // take away what goes there, and nothing else
	Yields   bool           // what was written is not read again: who moves it after us keeps it
	// Note is told, in words, what else in the tables takes packets for the prefixes; nil: nobody looks.
	Note func(string)
}

// A Route is one route as a table has it.
type Route struct {
	Table    string       `json:"table"`
	Prefix   netip.Prefix `json:"prefix"`
	Via      string       `json:"via"`
	Priority int          `json:"priority,omitempty"` // GCP
	Name     string       `json:"name,omitempty"`     // GCP and Azure
	Trouble  string       `json:"trouble,omitempty"`  // why it carries nothing, in the cloud's words
	// Foreign says why the route is not ours to touch; "" when it is.
	Foreign string `json:"-"`
	// Beside says that the route is another router's and stands beside ours, as
	// on GCP: it is shown and left alone.
	Beside bool `json:"-"`
}

// A Reader reads route tables. It writes nothing.
type Reader interface {
	// Via is the router that this runs on, or that was named.
	Via() string
	// Observe returns what the tables say about the prefixes, sorted. A table
	// that is not there or does not carry the mesh's mark is an error.
	Observe(ctx context.Context, w Want) ([]Route, error)
}

// A Writer writes route tables.
type Writer interface {
	// Rehearse asks whether Write would be allowed, where the cloud can be asked.
	Rehearse(ctx context.Context, w Want, c Change) error
	// Write makes one change. It reports whether it may have changed anything, also
	// when it fails. A cloud.Race says that the table is no longer as it was read.
	Write(ctx context.Context, w Want, c Change) (changed bool, err error)
}

// Tables are route tables of one cloud.
type Tables interface {
	Reader
	Writer
}

// A Change puts New into the place of Old. Without Old it is an addition, without New a removal.
type Change struct{ Old, New *Route }

// slot is where a change happens.
func (c Change) slot() slot {
	r := cmp.Or(c.New, c.Old)
	return slot{r.Table, r.Prefix}
}

// An action is what a cloud permits, or does not, whatever the prefix.
type action struct {
	table        string
	takes, makes bool
}

func (c Change) action() action { return action{c.slot().table, c.Old != nil, c.New != nil} }

// String says what the change has done.
func (c Change) String() string {
	switch at := c.slot(); {
	case c.Old == nil:
		return fmt.Sprintf("%s: goes to %s now", at, c.New.to())
	case c.New == nil:
		return fmt.Sprintf("%s: no longer goes to %s", at, c.Old.to())
	default:
		return fmt.Sprintf("%s: goes to %s now, before to %s", at, c.New.to(), c.Old.to())
	}
}

// to says where a route goes.
func (r Route) to() string {
	if r.Via == "" {
		return "nothing"
	}
	if r.Priority != 0 {
		return fmt.Sprintf("%s with priority %d", r.Via, r.Priority)
	}
	return r.Via
}

// Compare orders routes by table, prefix, priority and the rest.
func Compare(a, b Route) int {
	return cmp.Or(strings.Compare(a.Table, b.Table), a.Prefix.Compare(b.Prefix), cmp.Compare(a.Priority, b.Priority),
		strings.Compare(a.Via, b.Via), strings.Compare(a.Name, b.Name))
}

// Covers reports whether a route is for one of the tables and prefixes.
func (w Want) Covers(r Route) bool {
	return slices.Contains(w.Tables, r.Table) && slices.Contains(w.Prefixes, r.Prefix)
}
