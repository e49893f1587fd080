package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// running tells whether any process of the host is there.
func (l *lab) running(name string) bool {
	for _, dir := range group(l.Topology.Namespace(name)) {
		if len(pids(dir)) > 0 {
			return true
		}
	}
	return false
}

// stop cuts a host's power. Its links go first, so that nothing says goodbye.
func (l *lab) stop(ctx context.Context, name string) error {
	h, err := l.find(name)
	if err != nil {
		return err
	}
	ns := l.Topology.Namespace(name)
	if !l.running(name) && !slices.Contains(namespaces(ns), ns) {
		l.say("%s is off already", name)
		return nil
	}
	// A link may be gone already when an earlier stop was killed.
	_ = ip(ctx, l.Topology.Gateway(h.Site), fmt.Sprintf("link del %s\n", h.Port))
	_ = ip(ctx, l.Topology.Management(), fmt.Sprintf("link del m%d\n", h.Number))
	if err := kill(group(ns), 30*time.Second); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.hangUp(name)
	if err := deleteNamespace(ns); err != nil {
		return err
	}
	l.say("%s is off", name)
	return nil
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
	// A host that went down by itself, or that was killed while it came up.
	if err := l.stop(ctx, name); err != nil {
		return err
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
	l.say("%s answers to ssh", name)
	return nil
}
