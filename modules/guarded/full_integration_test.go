//go:build integration

package guarded

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/nettest"
)

// systemd says of a full /run that it does not find the unit that it was to write there.
func TestFullRun(t *testing.T) {
	r := newRouter(t)
	r.Launch = func(context.Context, string) error { return errors.New("systemd-run: Unit x.service not found") }
	require.NoError(t, os.MkdirAll(r.Run, 0o700))
	nettest.Mount(t, r.Run, "tmpfs", "512k")
	_, err := must.Get(r.plan(t, 60, "after"))(t).Apply(t.Context())
	require.EqualError(t, err, "guard: nothing was changed, because it could not be taken back: "+
		r.Run+": no space left on device: make room and make it writable")
}
