package lab

import (
	"context"
	"fmt"
	"slices"

	"github.com/wgmesh/router/internal/lab/topology"
)

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
