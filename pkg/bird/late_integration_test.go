//go:build integration

package bird_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
)

// TestBirdGoesBackMeanwhile takes a change back in the moment in which BIRD does so by
// itself: between two of the questions, and between the last one and the command.
func TestBirdGoesBackMeanwhile(t *testing.T) {
	for _, command := range []string{"configure status", "eval ", "show protocols", "configure undo"} {
		t.Run(command, func(t *testing.T) {
			g := newGuarded(t)
			g.try(t, number(t, 2), 3600)
			late := g.host
			late.Socket = g.interpose(t, command, func() { g.birdc(t, "configure undo") })
			must.Get(late.TakeBack(t.Context()))(t)
			g.want(t, 1, 1)
			assert.Equal(t, []string{"bird.conf"}, g.files(t), "nothing of the trial is left")
		})
	}
}

// A run that fails after BIRD took the text says what it did.
func TestTakenAndThenFailed(t *testing.T) {
	g := newGuarded(t)
	have := must.Get(g.host.Observe(t.Context()))(t)
	d := must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: number(t, 2), Timeout: 60}, have))(t)
	ctx, cancel := context.WithCancel(t.Context())
	late := g.host
	late.Socket = g.interpose(t, "eval ", cancel)
	done, err := late.Apply(ctx, d)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, bird.StampOf(number(t, 2)), g.runs(t))
	assert.Equal(t, []string{"configured BIRD, which takes it back in 60 s unless it is confirmed"}, done)
}

// interpose returns a control socket that hands everything to BIRD's, and that does
// something before it hands on the first command that begins like this one.
func (g *guarded) interpose(t *testing.T, command string, do func()) string {
	path := filepath.Join(t.TempDir(), "late.ctl")
	l := must.Get(net.Listen("unix", path))(t)
	t.Cleanup(func() { _ = l.Close() })
	done := false
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			daemon, err := net.Dial("unix", g.socket())
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(client, daemon)
				_ = client.Close()
			}()
			for in := bufio.NewScanner(client); in.Scan(); {
				if !done && strings.HasPrefix(in.Text(), command) {
					done = true
					do()
				}
				_, _ = io.WriteString(daemon, in.Text()+"\n")
			}
			_ = daemon.Close()
		}
	}()
	return path
}
