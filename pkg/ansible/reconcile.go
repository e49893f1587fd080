package ansible

import "context"

// A Reconciler brings one part of a host from what there is to what is wanted. It is
// the one shape of a domain. Observe never writes, Diff does no I/O, and Apply decides
// nothing: it makes the change of a delta and returns what came of it, also when it
// fails half-way.
//
// Domains do not import this package, and modules call them by their own types: a
// generic caller would cost wgmesh 80 kB, most of it the names of its instances.
// modules/shape_test.go says which domains have the shape.
type Reconciler[Want, Have any, D Delta[View], View, O any] interface {
	Observe(context.Context, Want) (Have, error)
	Diff(Want, Have) (D, error)
	Apply(context.Context, D) (O, error)
}

// A Delta is what takes a host from what it has to what is wanted.
type Delta[View any] interface {
	// Empty reports whether there is nothing to do.
	Empty() bool
	// Views are what --diff shows: sorted, redacted, and of nothing but what is managed.
	Views() (before, after View)
	// Warnings are for people, one line each, with what to do.
	Warnings() []string
}
