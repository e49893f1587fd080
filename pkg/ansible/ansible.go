// Package ansible speaks Ansible's binary-module protocol: one JSON object of
// options in, one JSON object of results out.
//
// It is the only package that knows about check mode, diff mode, standard
// output and the exit status. A module is a function that plans a change; this
// package decodes the options, takes the router's lock, decides whether the
// plan is applied, and reports. It needs nothing but the standard library.
package ansible

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/wgmesh/router/pkg/cause"
)

// A Plan is a change worked out in full but not yet made.
type Plan struct {
	// Before and After are what --diff shows: sorted and redacted views of
	// what the module manages, each a string or a value that JSON can hold.
	Before, After any
	// Changed says that Apply has something to do.
	Changed bool
	// Apply makes the change and returns what came of it, also when it fails
	// half-way. It is never called in check mode or without Changed.
	Apply func(ctx context.Context) (Outcome, error)
	// Rehearse asks, in check mode and when there is something to apply, whether Apply would be
	// allowed, and returns what stands against it as warnings. It writes nothing. It may be nil.
	Rehearse func(ctx context.Context) (warnings []string)
	// Record does what is not a change of the host, such as to write a file of metrics of what was
	// seen, or to measure. It runs on every run but in check mode, also when the plan comes with an
	// error, and returns what Return is to have besides.
	Record func(ctx context.Context) (map[string]any, error)
	// Return holds further result keys. A plan that comes with an error may have
	// them too, to report what was found.
	Return map[string]any
	// Warnings are shown by Ansible beside the result.
	Warnings []string
}

// An Outcome is what came of a change.
type Outcome struct {
	Done     []string       // what was done, in words
	Return   map[string]any // the result keys that are not, or not so, in the plan's
	Warnings []string       // those beside the plan's
}

// Then is the outcome of a change with that of the one after it.
func (o Outcome) Then(next Outcome) Outcome {
	return Outcome{
		Done: slices.Concat(o.Done, next.Done), Return: merge(o.Return, next.Return),
		Warnings: slices.Concat(o.Warnings, next.Warnings),
	}
}

// Report adds result keys to those that the plan has.
func (p *Plan) Report(keys map[string]any) { p.Return = merge(p.Return, keys) }

// merge returns the keys of both, with the values of next where both have one.
func merge(first, next map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, first)
	maps.Copy(out, next)
	return out
}

// A Module is one Ansible module, ready to run.
type Module struct {
	plan     func(ctx context.Context, options []byte) (Plan, error)
	steps    map[string]Module // of a module that runs others, which plans nothing itself
	lock     string
	patience time.Duration
	harden   func() error
}

// An Option changes how a module runs.
type Option func(*Module)

// Unlocked is for modules that only read or compute: they do not wait for
// another module that is changing this router.
func Unlocked() Option { return func(m *Module) { m.lock = "" } }

// Patient makes a module that waits for the router's lock as long as a call among
// many at once may have to.
func (m Module) Patient() Module {
	m.patience = longWait
	return m
}

// New makes a module of a function that plans a change from the options O, a struct with json tags.
// Decode says how O is filled. When *O has a method SetDefaults() it is called before, and when O
// has a method Validate() error, after decoding.
func New[O any](plan func(context.Context, O) (Plan, error), opts ...Option) Module {
	return module(func(ctx context.Context, raw []byte) (Plan, error) {
		o := new(O)
		if err := Decode(raw, o); err != nil {
			return Plan{}, err
		}
		return plan(ctx, *o)
	}, opts)
}

// module is what New does for every O: once in the program, and not once for each.
func module(plan func(context.Context, []byte) (Plan, error), opts []Option) Module {
	m := Module{plan: plan, lock: lockPath, patience: lockWait(), harden: harden}
	for _, opt := range opts {
		opt(&m)
	}
	return m
}

// Main runs the module with the arguments argv, those after the program's name,
// and ends the process.
func (m Module) Main(argv []string) {
	out := os.Stdout
	os.Stdout = os.Stderr // a stray print must not spoil the result
	os.Exit(m.Run(argv, os.Stdin, out))
}

// Run runs the module once and returns the exit status: 0, or 1 for a failure.
// The options come from the file that argv names, or from in when argv is
// empty. Exactly one JSON object is written to out.
func (m Module) Run(argv []string, in io.Reader, out io.Writer) int {
	res := m.result(argv, in)
	if err := res.write(out); err != nil {
		return 1
	}
	if res["failed"] == true {
		return 1
	}
	return 0
}

// A Reconciler brings one part of a host from what there is to what is wanted. It is the one shape
// of a domain. Observe never writes, Diff does no I/O, and Apply decides nothing: it makes the
// change of a delta and returns what came of it, also when it fails half-way.
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

// ByRoot returns an error unless root runs this. Whom the kernel and BIRD tell nothing would take a
// router for one without tunnels.
func ByRoot() error {
	uid := os.Geteuid()
	if uid == 0 {
		return nil
	}
	return cause.New("this runs as user %d, and a router is set up by root: set ansible_become to true", uid)
}
