package guarded

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/guard"
)

// Confirm plans to keep the change of a journal. BIRD keeps its part first, and the
// journal goes last: until then all of the change can be taken back, BIRD's part by
// the copy of its file, and the same confirmation finds the way on.
func Confirm(ctx context.Context, g guard.Guard,
	j guard.Journal,
) (settle func(context.Context) ([]string, error), err error) {
	daemon, err := guard.Note[bird.Before](j, daemons)
	if err != nil {
		return nil, err
	}
	deltas := map[string]bird.Delta{}
	for path, b := range daemon {
		have, err := b.Host.Observe(ctx)
		if err != nil {
			return nil, err
		}
		if deltas[path], err = bird.Diff(bird.Want{State: bird.Confirmed}, have); err != nil {
			return nil, fmt.Errorf(
				"%w; the rest of the change of this router follows, or at once by hand (docs/guard.md)", err)
		}
	}
	return func(ctx context.Context) (done []string, err error) {
		unlock, err := g.Lock(ctx)
		if err != nil {
			return nil, err
		}
		defer unlock()
		now, err := g.Read()
		if err != nil {
			return nil, err
		}
		if now == nil || now.ID != j.ID { // another run has settled it since
			unlock()
			return nil, g.Kept(ctx, j.ID)
		}
		if now.Overdue() {
			return nil, guard.ErrOverdue
		}
		if now.Writes != j.Writes {
			return nil, guard.ErrChanged
		}
		for _, path := range slices.Sorted(maps.Keys(deltas)) {
			did, err := daemon[path].Host.Apply(ctx, deltas[path])
			done = append(done, did...)
			if err != nil {
				return done, err
			}
		}
		below, err := guard.Note[KeptFloor](*now, floors)
		if err != nil {
			return done, err
		}
		for _, folder := range slices.Sorted(maps.Keys(below)) {
			did, err := below[folder].settle(ctx)
			done = append(done, did...)
			if err != nil {
				return done, err
			}
		}
		did, err := g.Keep(*now)
		return append(done, did...), err
	}, nil
}

// settle takes off the floor what the confirmed change needs no more.
func (k KeptFloor) settle(ctx context.Context) ([]string, error) {
	have, err := k.Host.Observe(ctx)
	if err != nil {
		return nil, err
	}
	d := k.Host.Diff(floor.Want{Networks: k.Networks}, have)
	if d.Empty() {
		return nil, nil
	}
	return k.Host.Apply(ctx, d)
}
