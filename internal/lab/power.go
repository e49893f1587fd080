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

// cut drops what goes between two sites or routers, or lets it pass again.
func (l *lab) cut(ctx context.Context, names []string, drop bool) error {
	if !l.isUp() {
		return fmt.Errorf("lab %s is not up", l.name)
	}
	switch {
	case len(names) == 0 && !drop:
		l.Cuts = nil
	case len(names) != 2:
		return fmt.Errorf("cut and join take two sites or two routers, got %q", names)
	default:
		c, err := l.Topology.NewCut(names[0], names[1])
		if err != nil {
			return err
		}
		l.Cuts = slices.DeleteFunc(l.Cuts, func(o topology.Cut) bool { return o == c })
		if drop {
			l.Cuts = append(l.Cuts, c)
		}
	}
	for ns, ruleset := range l.Topology.CutScripts(l.Cuts) {
		if err := nft(ctx, ns, ruleset); err != nil {
			return err
		}
	}
	l.say("cut: %d pairs %v", len(l.Cuts), l.Cuts)
	return l.save()
}
