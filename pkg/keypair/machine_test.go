package keypair_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/keypair"
)

func TestImageBuildIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(r *rig)
		want   string
	}{
		"option": {func(r *rig) { r.want.ImageBuild = true }, "image_build is set"},
		"marker": {func(r *rig) {
			require.NoError(r.t, os.WriteFile(r.host.ImageMarker, nil, 0o600))
		}, "image-build exists"},
		"empty id":      {func(r *rig) { r.machine("") }, "is empty or uninitialized"},
		"uninitialized": {func(r *rig) { r.machine("uninitialized\n") }, "is empty or uninitialized"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			tt.change(r)
			_, err := r.plan()
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "run wg_keypair after the first boot")
			assert.NoDirExists(t, r.dir)

			made := newRig(t)
			made.converge()
			tree := must.Tree(t, made.dir)
			tt.change(made)
			_, err = made.plan()
			require.ErrorContains(t, err,
				"remove from the image: "+made.want.PrivateKey+", "+made.want.SealingKey+", "+made.want.Identity)
			assert.Equal(t, tree, must.Tree(t, made.dir))
		})
	}
}

// Keys that belong to no machine stay when its id changes, or is never the same.
func TestUnbound(t *testing.T) {
	r := newRig(t)
	_, pub, _ := r.converge()
	r.host.Unbound = true
	for _, id := range []string{"ffffffffffffffffffffffffffffffff\n", "uninitialized\n", ""} {
		r.machine(id)
		delta, have, _ := r.converge()
		assert.Empty(t, delta.Steps)
		assert.Empty(t, delta.Warnings())
		assert.Equal(t, pub, have)
	}
	require.NoError(t, os.WriteFile(r.host.ImageMarker, nil, 0o600))
	require.ErrorContains(t, must.Err(r.plan()), "this is an image build")
}

func TestNoMachineID(t *testing.T) {
	r := newRig(t)
	require.NoError(t, os.Remove(r.host.MachineID))
	delta, pub, _ := r.converge()
	require.Len(t, delta.Warnings(), 1)
	assert.Contains(t, delta.Warnings()[0], "has no /etc/machine-id")
	assert.NoFileExists(t, r.want.Identity)

	r.machine("0123456789abcdef0123456789abcdef")
	_, again, done := r.converge()
	assert.Equal(t, pub, again)
	assert.Len(t, done, 1, "only the record is new")
}

func TestIdentityDoesNotShowTheMachineID(t *testing.T) {
	r := newRig(t)
	r.converge()
	assert.NotContains(t, string(must.Get(os.ReadFile(r.want.Identity))(t)), "0123456789abcdef0123456789abcdef")

	for _, rubbish := range []string{"", "{", "[]", `{"machine":"x"}`, `{"made_by":"else","machine":"x"}`} {
		_, before, _ := r.converge()
		require.NoError(t, os.WriteFile(r.want.Identity, []byte(rubbish), 0o600))
		_, after, done := r.converge()
		assert.Equal(t, before, after)
		assert.Len(t, done, 1)
	}
}

// A run that stops after any step leaves a state from which the next one
// converges; on a clone, to keys that are on neither machine.
func TestCrashAfterEachStep(t *testing.T) {
	for steps := range 3 {
		for _, cloned := range []bool{false, true} {
			r := newRig(t)
			var old keypair.Public
			if cloned {
				_, old, _ = r.converge()
				r.machine("ffffffffffffffffffffffffffffffff\n")
			}
			delta := must.Get(r.plan())(t)
			require.Len(t, delta.Steps, 3)
			delta.Steps = delta.Steps[:steps]
			must.Get(r.host.Apply(context.Background(), delta))(t)

			_, pub, _ := r.converge()
			assert.NotEqual(t, old.PublicKey, pub.PublicKey)
			assert.NotEqual(t, old.SealingKey, pub.SealingKey)
		}
	}
}

// A file that appears between plan and apply is not overwritten.
func TestRaceLosesPolitely(t *testing.T) {
	r := newRig(t)
	delta := must.Get(r.plan())(t)
	require.NoError(t, os.Mkdir(r.dir, 0o700))
	require.NoError(t, os.WriteFile(r.want.SealingKey, []byte("theirs"), 0o600))
	out, err := r.host.Apply(context.Background(), delta)
	require.ErrorIs(t, err, os.ErrExist)
	require.ErrorContains(t, err, r.want.SealingKey)
	require.Len(t, out.Done, 1, "it says what was done before")
	assert.Equal(t, "theirs", string(must.Get(os.ReadFile(r.want.SealingKey))(t)))
}

func TestLeftoversOfAKilledRunAreRemoved(t *testing.T) {
	r := newRig(t)
	_, first, _ := r.converge()
	for _, path := range []string{r.want.PrivateKey, r.want.SealingKey, r.want.Identity} {
		name := strings.Replace(path, "/wgmesh.", "/.wgmesh.", 1) + ".123456.wgmesh"
		require.NoError(t, os.Link(path, name)) // as Create leaves it when killed after the link
	}
	delta, second, done := r.converge()
	assert.Equal(t, first, second)
	assert.Len(t, done, 3)
	before, after := delta.Views()
	assert.Len(t, before.Leftovers, 3)
	assert.Empty(t, after.Leftovers)
	assert.Len(t, must.Tree(t, r.dir), 4, "the folder and three files")
}

// No secret in anything that is exported, however it is printed.
func TestNothingShowsAKey(t *testing.T) {
	r := newRig(t)
	delta, pub, done := r.converge()
	r.want.Regenerate = keypair.Always
	second, pub2, done2 := r.converge()
	have := must.Get(r.host.Observe(context.Background(), r.want))(t)
	before, after := second.Views()

	var out strings.Builder
	for _, v := range []any{r.want, have, &have, delta, &delta, second, pub, pub2, done, done2, before, after} {
		fmt.Fprintf(&out, "%v %+v %#v %s %x", v, v, v, v, v)
		out.Write(must.Get(json.Marshal(v))(t))
	}
	for _, path := range []string{r.want.PrivateKey, r.want.SealingKey} {
		data := must.Get(os.ReadFile(path))(t)
		_, text, found := strings.Cut(string(data), ":")
		if !found {
			text = string(data)
		}
		assert.False(t, strings.Contains(out.String(), text[:20]), "a key shows")
	}
}
