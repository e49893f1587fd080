package lab

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/wgmesh/router/internal/lab/topology"
)

func (l *lab) running(name string) bool {
	return slices.ContainsFunc(group(l.Topology.Namespace(name)), func(dir string) bool { return len(pids(dir)) > 0 })
}

// stop cuts a host's power. Its links go first, so that nothing says goodbye.
func (l *lab) stop(ctx context.Context, name string) error {
	h, err := l.find(name)
	if err != nil {
		return err
	}
	if !l.connected(name) {
		l.say("%s is off already", name)
		return nil
	}
	if err := l.powerOff(ctx, h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.say("%s is off", name)
	return nil
}

// connected reports whether anything of the host is there: it may have gone down by
// itself, or a command may have been killed half-way.
func (l *lab) connected(name string) bool {
	ns := l.Topology.Namespace(name)
	return len(group(ns)) > 0 || slices.Contains(namespaces(ns), ns)
}

func (l *lab) powerOff(ctx context.Context, h topology.Host) error {
	ns := l.Topology.Namespace(h.Name)
	// A link may be gone already when an earlier stop was killed.
	for _, port := range h.Ports() {
		_ = ip(ctx, l.Topology.Gateway(h.Site), fmt.Sprintf("link del %s\n", port))
	}
	_ = ip(ctx, l.Topology.Management(), fmt.Sprintf("link del m%d\n", h.Number))
	if err := kill(group(ns), 30*time.Second); err != nil {
		return err
	}
	l.hangUp(h.Name)
	return deleteNamespace(ns)
}

// start boots a host that was stopped, with the files that it had.
func (l *lab) start(ctx context.Context, name string) error {
	h, err := l.find(name)
	if err != nil {
		return err
	}
	if l.running(name) {
		l.say("%s is on already", name)
		return nil
	}
	if l.connected(name) {
		if err := l.powerOff(ctx, h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := l.connect(ctx, h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := l.boot(ctx, h); err != nil {
		return err
	}
	if err := l.answers(ctx, h, bootLimit); err != nil {
		return err
	}
	if err := l.addressed(ctx, h); err != nil {
		return err
	}
	l.say("%s answers to ssh", name)
	return nil
}
