// Package guarded joins the modules that change a router to its one guard: what they
// are about to touch is kept before they write, and taken back as a whole.
package guarded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/preflight"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/sysctl"
	"github.com/wgmesh/router/pkg/wg"
)

// The kinds of notes in the journal.
const (
	interfaces = "interface" // wg.Before by name
	clamps     = "mss clamp" // true by the folder of its file
	parameters = "sysctl"    // text by key
	daemons    = "bird"      // bird.Before by path of bird.conf
	floors     = "floor"     // kept by folder
	beginning  = "beginning" // status.Before, of the first module that wrote
)

// lookTime is how long the router may take to show what works. A BIRD that converges on a busy
// machine is late for seconds.
const lookTime = 15 * time.Second

// lookAgain is the pause after a look that failed.
const lookAgain = 200 * time.Millisecond

// Options is the option of every module that can be guarded.
type Options struct {
	Guard int `json:"guard"` // seconds; 0: the change is kept at once
}

// ValidateGuard refuses what cannot be right on any host.
func (o Options) ValidateGuard() error {
	if o.Guard < 0 || o.Guard > 86400 {
		return errors.New("guard: expected 0 to 86400 seconds")
	}
	return nil
}

// Protect puts a plan under the guard: its Apply keeps what it touches before it touches it, and
// tells whom the router worked with before. touch adds what the plan is about to change.
func (o Options) Protect(p *ansible.Plan, touch func(*guard.Change) error) error {
	return o.protect(guard.Host(), defaultBird(), p, touch)
}

// ProtectBird is Protect for a BIRD of its own places.
func (o Options) ProtectBird(host bird.Host, p *ansible.Plan, touch func(*guard.Change) error) error {
	return o.protect(guard.Host(), host, p, touch)
}

func defaultBird() bird.Host {
	return bird.Host{Path: bird.ConfigPath("/"), Socket: birdc.Socket, Service: "bird"}
}

func (o Options) protect(g guard.Guard, daemon bird.Host, p *ansible.Plan, touch func(*guard.Change) error) error {
	if o.Guard == 0 {
		return nil
	}
	j, err := g.Read()
	if err != nil {
		return err
	}
	var before status.Before
	change := ""
	if j != nil {
		change = j.Change()
		renew := p.Record
		p.Record = func(ctx context.Context) (seen map[string]any, err error) {
			err = g.Renew(ctx, o.Guard)
			if renew != nil {
				var later error
				seen, later = renew(ctx)
				err = errors.Join(err, later)
			}
			return seen, err
		}
		if j.Overdue() {
			return guard.ErrOverdue
		}
		kept, err := guard.Note[status.Before](*j, beginning)
		if err != nil {
			return err
		}
		before = kept[""]
	}
	p.Report(report(change, before))
	apply := p.Apply
	p.Apply = func(ctx context.Context) (ansible.Outcome, error) {
		var out ansible.Outcome
		if j == nil {
			var err error
			if before, err = worked(ctx, daemon); err != nil {
				return out, fmt.Errorf("guard: nothing was changed, because what works is unknown: %w", err)
			}
		}
		var c guard.Change
		c.Note(beginning, "", before)
		err := touch(&c)
		if err == nil {
			err = whyNot(g, g.Arm(ctx, o.Guard, c))
		}
		if err != nil {
			return ansible.Outcome{}, err
		}
		armed, err := g.Read()
		if err != nil || armed == nil {
			return ansible.Outcome{}, cmp.Or(err, guard.ErrOverdue)
		}
		out.Return = report(armed.Change(), before)
		more, err := apply(ctx)
		return out.Then(more), err
	}
	return nil
}

// whyNot names the folder without room: systemd has other words for that, and so has a file of many that are kept.
func whyNot(g guard.Guard, err error) error {
	if err == nil || errors.Is(err, guard.ErrOverdue) {
		return err
	}
	for folder, why := range preflight.ClosedOf(g.Folder, g.Run) {
		return cause.New("guard: nothing was changed, because it could not be taken back: %s: %s: "+
			"make room and make it writable", folder, why)
	}
	return err
}

// report returns which change waits, if one does, and what worked when it began.
func report(change string, before status.Before) map[string]any {
	return map[string]any{
		"armed":       change != "",
		"change":      change,
		"worked":      append([]string{}, before.Worked...), // never null
		"worked_over": append([]status.End{}, before.Over...),
		"silent":      append([]string{}, before.Silent...),
		"routed":      append([]netip.Prefix{}, before.Routed...),
	}
}

// worked is what works now. That nobody answers does not say that nothing works: such a look is
// repeated, and then it is an error.
func worked(ctx context.Context, daemon bird.Host) (status.Before, error) {
	r := status.Request{BFD: true, Socket: daemon.Socket}
	routers, err := daemon.Routers()
	for _, n := range routers {
		t := plan.StatusTunnel{Name: n.Interface, Peer: n.Name, Neighbor: n.Protocol, Address: n.Address}
		if link, err := net.InterfaceByName(n.Interface); err == nil {
			t.MTU = link.MTU
		}
		r.Tunnels, r.BFD = append(r.Tunnels, t), r.BFD && n.BFD
	}
	if err != nil {
		return status.Before{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	for {
		before, later := status.ObserveBefore(ctx, r)
		if later == nil {
			return before, nil
		}
		err = cmp.Or(err, later) // the first: later ones may be about the end of the time
		select {
		case <-ctx.Done():
			return status.Before{}, err
		case <-time.After(lookAgain):
		}
	}
}

// Tunnels adds what a delta of tunnels touches.
func Tunnels(c *guard.Change, w wg.Want, s wg.Have, d wg.Delta) {
	files, before := wg.Touched(w, s, d)
	c.Files = append(c.Files, files...)
	for name, b := range before {
		c.Note(interfaces, name, b)
	}
	if d.MSS != nil {
		c.Note(clamps, w.Directory, true)
	}
}

// Parameters adds what a plan of parameters touches.
func Parameters(c *guard.Change, h sysctl.Host, d sysctl.Delta) error {
	if d.File != nil {
		c.Files = append(c.Files, d.Path)
	}
	values, err := h.Touched(d)
	for key, value := range values {
		c.Note(parameters, key, value)
	}
	return err
}

// Daemon adds what a change of BIRD touches.
func Daemon(c *guard.Change, before bird.Before) {
	c.Files = append(c.Files, before.Host.Touched()...)
	c.Note(daemons, before.Host.Path, before)
}

// A KeptFloor is what the floor below BIRD is to be once the change is confirmed. Until
// then nothing is taken off it.
type KeptFloor struct {
	Host     floor.Host     `json:"host"`
	Networks []netip.Prefix `json:"networks"`
}

// Floor adds what a delta of the floor touches.
func Floor(c *guard.Change, h floor.Host, d floor.Delta, networks []netip.Prefix) {
	c.Files = append(c.Files, h.Touched(d)...)
	c.Set(floors, h.Folder, KeptFloor{Host: h, Networks: networks})
}
