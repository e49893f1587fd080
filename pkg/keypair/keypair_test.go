package keypair_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/keypair"
	"github.com/wgmesh/router/pkg/seal"
)

// A rig is a machine with a folder for keys.
type rig struct {
	t    *testing.T
	dir  string
	host keypair.Host
	want keypair.Want
}

func newRig(t *testing.T) *rig {
	t.Helper()
	root := t.TempDir()
	r := &rig{t: t, dir: filepath.Join(root, "wireguard")}
	r.host = keypair.Host{MachineID: filepath.Join(root, "machine-id"), ImageMarker: filepath.Join(root, "image-build")}
	r.machine("0123456789abcdef0123456789abcdef\n")
	r.want = keypair.Want{Regenerate: keypair.Partly, Files: keypair.Files{
		PrivateKey: filepath.Join(r.dir, "wgmesh.key"),
		SealingKey: filepath.Join(r.dir, "wgmesh.seal"), Identity: filepath.Join(r.dir, "wgmesh.id"),
	}}
	require.NoError(t, r.want.Validate())
	return r
}

func (r *rig) machine(id string) {
	require.NoError(r.t, os.WriteFile(r.host.MachineID, []byte(id), 0o644))
}

func (r *rig) plan() (keypair.Delta, error) {
	have, err := r.host.Observe(context.Background(), r.want)
	if err != nil {
		return keypair.Delta{}, err
	}
	return r.host.Diff(r.want, have)
}

// converge plans, looks that planning wrote nothing, applies, and plans again:
// the second delta has to be empty.
func (r *rig) converge() (keypair.Delta, keypair.Public, []string) {
	r.t.Helper()
	tree := must.Tree(r.t, r.dir)
	delta := must.Get(r.plan())(r.t)
	require.Equal(r.t, tree, must.Tree(r.t, r.dir), "planning wrote something")
	out, err := r.host.Apply(context.Background(), delta)
	pub, done := out.Public, out.Done
	require.NoError(r.t, err)
	require.Len(r.t, done, len(delta.Steps))
	if r.want.Regenerate != keypair.Always {
		again := must.Get(r.plan())(r.t)
		require.Empty(r.t, again.Steps, "the second run changes something")
		require.Equal(r.t, pub, again.Public())
		before, after := again.Views()
		require.Equal(r.t, before, after)
	}
	for _, f := range []string{r.want.PrivateKey, r.want.SealingKey, r.want.Identity} {
		if st, err := os.Stat(f); err == nil {
			require.Equal(r.t, os.FileMode(0o600), st.Mode(), f)
		}
	}
	return delta, pub, done
}

func TestNewRouter(t *testing.T) {
	r := newRig(t)
	delta := must.Get(r.plan())(t)
	before, after := delta.Views()
	assert.Nil(t, before.PublicKey)
	assert.Equal(t, "absent", before.PrivateKeyFile)
	assert.Contains(t, *after.PublicKey, r.want.PrivateKey, "the diff names what is made")
	assert.Contains(t, *after.SealingKey, r.want.SealingKey)
	assert.Equal(t, "this machine", after.Machine)
	assert.Empty(t, delta.Public(), "there is no key to show before there is one")

	_, pub, done := r.converge()
	assert.Len(t, done, 3)
	assert.Empty(t, delta.Warnings())
	st := must.Get(os.Stat(r.dir))(t)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())

	text := must.Get(os.ReadFile(r.want.PrivateKey))(t)
	assert.Equal(t, must.Get(seal.ParseWGPrivate(text))(t).Public().String(), pub.PublicKey)
	text = must.Get(os.ReadFile(r.want.SealingKey))(t)
	assert.Equal(t, must.Get(seal.ParsePrivateKey(text))(t).Public().String(), pub.SealingKey)
}

func TestPartsAreMadeAlone(t *testing.T) {
	r := newRig(t)
	_, first, _ := r.converge()

	require.NoError(t, os.Remove(r.want.SealingKey))
	_, second, _ := r.converge()
	assert.Equal(t, first.PublicKey, second.PublicKey)
	assert.NotEqual(t, first.SealingKey, second.SealingKey)

	require.NoError(t, os.Remove(r.want.Identity))
	_, third, done := r.converge()
	assert.Equal(t, second, third, "keys that were there are taken over")
	assert.Len(t, done, 1)

	require.NoError(t, os.Remove(r.want.PrivateKey))
	_, fourth, _ := r.converge()
	assert.NotEqual(t, third.PublicKey, fourth.PublicKey)
	assert.Equal(t, third.SealingKey, fourth.SealingKey)
}

// The table of Regenerate.
func TestRegenerate(t *testing.T) {
	clone := func(r *rig) { r.machine("ffffffffffffffffffffffffffffffff\n") }
	breakKey := func(r *rig) { require.NoError(t, os.WriteFile(r.want.PrivateKey, []byte("rubbish\n"), 0o600)) }
	brought := func(r *rig) { require.NoError(t, os.Remove(r.want.Identity)) } // a key that nobody recorded
	none := func(*rig) {}
	for _, tt := range []struct {
		r       keypair.Regenerate
		name    string
		change  func(*rig)
		private string // kept, new, or a part of the error
		sealing string
		warning string
	}{
		{keypair.Never, "whole", none, "kept", "kept", ""},
		{keypair.Fail, "whole", none, "kept", "kept", ""},
		{keypair.Partly, "whole", none, "kept", "kept", ""},
		{keypair.Fully, "whole", none, "kept", "kept", ""},
		{keypair.Always, "whole", none, "new", "new", ""},
		{keypair.Never, "clone", clone, "kept", "kept", "are kept, because of regenerate: never"},
		{keypair.Fail, "clone", clone, "made on another machine", "", ""},
		{keypair.Partly, "clone", clone, "new", "new", "machine id changed"},
		{keypair.Fully, "clone", clone, "new", "new", "machine id changed"},
		{keypair.Always, "clone", clone, "new", "new", "machine id changed"},
		{keypair.Partly, "brought", brought, "kept", "kept", "was there before and is kept: if it came with the image"},
		{keypair.Always, "brought", brought, "new", "new", ""},
		{keypair.Never, "broken", breakKey, "restore the file", "", ""},
		{keypair.Fail, "broken", breakKey, "restore the file", "", ""},
		{keypair.Partly, "broken", breakKey, "restore the file", "", ""},
		{keypair.Fully, "broken", breakKey, "new", "kept", ""},
		{keypair.Always, "broken", breakKey, "new", "new", ""},
	} {
		t.Run(string(tt.r)+" "+tt.name, func(t *testing.T) {
			r := newRig(t)
			_, first, _ := r.converge()
			tt.change(r)
			r.want.Regenerate = tt.r
			tree := must.Tree(t, r.dir)
			if tt.sealing == "" {
				_, err := r.plan()
				require.ErrorContains(t, err, tt.private)
				require.ErrorContains(t, err, r.dir, "the error names the file")
				require.NotContains(t, err.Error(), "\n")
				require.Equal(t, tree, must.Tree(t, r.dir))
				return
			}
			delta, second, _ := r.converge()
			assert.Equal(t, tt.private == "kept", first.PublicKey == second.PublicKey)
			assert.Equal(t, tt.sealing == "kept", first.SealingKey == second.SealingKey)
			assert.Contains(t, strings.Join(delta.Warnings(), ";"), tt.warning)
			if tt.private == "kept" && tt.name == "whole" {
				assert.Empty(t, delta.Steps)
				assert.Equal(t, tree, must.Tree(t, r.dir))
			}
		})
	}
}

func TestBrokenKeys(t *testing.T) {
	good := strings.TrimSpace(string(seal.NewWGPrivate().Encode()))
	for name, text := range map[string]string{
		"empty": "", "truncated": good[:30], "33 bytes": good[:43] + "A", "no base64": strings.Repeat("!", 44),
		"zero": strings.Repeat("A", 43) + "=", "two lines": good + "\n" + good + "\n", "leading space": " " + good,
		"sealing key": string(seal.NewPrivateKey().Encode()),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.converge()
			require.NoError(t, os.WriteFile(r.want.PrivateKey, []byte(text), 0o600))
			_, err := r.plan()
			require.ErrorContains(t, err, "private_key_file "+r.want.PrivateKey)
			if len(text) > 10 {
				require.False(t, strings.Contains(err.Error(), text[:10]), "the error quotes the file")
			}
			r.want.Regenerate = keypair.Fully
			r.converge()
		})
	}
}

func TestWrongModesAreMended(t *testing.T) {
	for _, r := range []keypair.Regenerate{keypair.Never, keypair.Fail, keypair.Partly, keypair.Fully} {
		rig := newRig(t)
		_, first, _ := rig.converge()
		require.NoError(t, os.Chmod(rig.want.PrivateKey, 0o644))
		require.NoError(t, os.Chmod(rig.want.SealingKey, 0o400))
		require.NoError(t, os.Chmod(rig.want.Identity, 0o660))
		rig.want.Regenerate = r
		delta, second, done := rig.converge()
		assert.Equal(t, first, second, "mending a mode makes no new key")
		assert.Len(t, done, 3)
		require.Len(t, delta.Warnings(), 1, "only the private key was open to others")
		assert.Contains(t, delta.Warnings()[0], "mode 0644, expected 0600")
	}
}

func TestRefusesOddFiles(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(r *rig, path string) error
		want   string
	}{
		"link":        {func(_ *rig, p string) error { return os.Symlink("/etc/hostname", p) }, "symbolic link"},
		"folder":      {func(_ *rig, p string) error { return os.Mkdir(p, 0o700) }, "not a regular file"},
		"open folder": {func(r *rig, _ string) error { return os.Chmod(r.dir, 0o777) }, "other users can replace keys"},
	} {
		for _, pick := range []func(keypair.Files) string{
			func(f keypair.Files) string { return f.PrivateKey },
			func(f keypair.Files) string { return f.SealingKey },
			func(f keypair.Files) string { return f.Identity },
		} {
			r := newRig(t)
			r.converge()
			path := pick(r.want.Files)
			require.NoError(t, os.Remove(path))
			require.NoError(t, tt.change(r, path))
			for _, r.want.Regenerate = range []keypair.Regenerate{keypair.Never, keypair.Fully, keypair.Always} {
				tree := must.Tree(t, r.dir)
				require.ErrorContains(t, must.Err(r.plan()), tt.want, name)
				require.Equal(t, tree, must.Tree(t, r.dir))
			}
		}
	}
}

func TestCheck(t *testing.T) {
	r := newRig(t)
	for want, change := range map[string]func(w *keypair.Want){
		`regenerate: expected one of never`:                 func(w *keypair.Want) { w.Regenerate = "sometimes" },
		`private_key_file: expected an absolute path`:       func(w *keypair.Want) { w.PrivateKey = "key" },
		`identity_file: expected an absolute path`:          func(w *keypair.Want) { w.Identity = "" },
		`sealing_key_file: ` + r.want.PrivateKey + ` is al`: func(w *keypair.Want) { w.SealingKey = w.PrivateKey },
	} {
		w := r.want
		change(&w)
		require.ErrorContains(t, w.Validate(), want)
	}
}

// All keys go, and the record; a second run finds nothing. A broken key goes too.
func TestAbsent(t *testing.T) {
	r := newRig(t)
	r.converge()
	r.want.Absent = true
	d, pub, done := r.converge()
	assert.Len(t, done, 3)
	assert.Empty(t, pub.PublicKey+pub.SealingKey)
	_, after := d.Views()
	assert.Nil(t, after.PublicKey)
	assert.Equal(t, "absent", after.PrivateKeyFile)
	for _, path := range []string{r.want.PrivateKey, r.want.SealingKey, r.want.Identity} {
		assert.NoFileExists(t, path)
	}
	again := must.Get(r.plan())(t)
	assert.True(t, again.Empty())
}

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
