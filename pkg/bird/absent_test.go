package bird_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
)

// booted is a host whose BIRD does not run, with what an applied configuration leaves.
func booted(t *testing.T, files map[string]string) (h bird.Host, told *[]string) {
	t.Helper()
	root := t.TempDir()
	told = &[]string{}
	h = bird.Host{
		Path: root + "/bird/bird.conf", Socket: root + "/bird.ctl", Service: "bird",
		Run: root + "/run", Units: root + "/units", Systemd: true,
	}
	h.Command = func(_ context.Context, name string, args ...string) (string, error) {
		link := h.Units + "/multi-user.target.wants/bird.service"
		switch args[0] {
		case "show":
			state, _ := os.ReadFile(root + "/state")
			return "UnitFileState=" + string(state) + "\n", nil
		case "enable":
			must.Write(t, link, "", 0o600)
		case "disable":
			require.NoError(t, os.Remove(link))
		}
		*told = append(*told, name+" "+strings.Join(args, " "))
		return "", nil
	}
	for path, text := range files {
		must.Write(t, filepath.Join(root, path), text, 0o640)
	}
	return h, told
}

// A daemon-reload that failed is made by the next run, which is the last to do something:
// the files alone look as they should.
func TestReloadIsMadeAgain(t *testing.T) {
	h, told := booted(t, map[string]string{
		"bird/bird.conf": string(conf(1)), "bird/bird.conf.good": string(conf(1)),
		"bird.ctl": "", // root's, so that a group bird of this machine is none of it
	})
	works := h.Command
	for _, state := range []string{bird.Applied, bird.Absent} {
		run := func() (bird.Delta, error) {
			have := must.Get(h.Observe(t.Context()))(t)
			d := must.Get(bird.Diff(bird.Want{State: state, Text: conf(1), Unit: h.Unit()}, have))(t)
			before, after := bird.Views(have, d)
			assert.Equal(t, len(d) == 0, before == after, "%s\n---\n%s", before, after)
			_, err := h.Apply(t.Context(), d)
			return d, err
		}
		h.Command = func(context.Context, string, ...string) (string, error) { return "", errors.New("no bus") }
		require.ErrorContains(t, must.Err(run()), "no bus", state)
		h.Command, *told = works, nil
		d := must.Get(run())(t)
		assert.NotEmpty(t, d, state)
		assert.Contains(t, *told, "systemctl daemon-reload", state)
		d = must.Get(run())(t)
		assert.Empty(t, d, state)
	}
}

func away(t *testing.T, h bird.Host) (bird.Have, bird.Delta) {
	t.Helper()
	have := must.Get(h.Observe(t.Context()))(t)
	return have, must.Get(bird.Diff(bird.Want{State: bird.Absent, Unit: h.Unit()}, have))(t)
}

// Cut off after each step, the same run finishes, and the one after it changes nothing.
func TestAbsentWithoutAFormerFile(t *testing.T) {
	for cut := range 4 {
		h, told := booted(t, map[string]string{
			"bird/bird.conf": string(conf(1)), "bird/bird.conf.good": string(conf(1)),
			"bird/bird.conf.cand-x":               string(conf(2)),
			"units/bird.service.d/50-wgmesh.conf": "# wgmesh.router", "units/bird.service.d/50-wgmesh.sh": "",
			"units/multi-user.target.wants/bird.service": "",
		})
		have, d := away(t, h)
		assert.Equal(t, "unitless disable remove", actions(d))
		before, after := bird.Views(have, d)
		assert.Contains(t, before, string(conf(1)))
		assert.Equal(t, "# daemon: does not run\n", after)
		must.Get(h.Apply(t.Context(), d[:cut]))(t)

		_, d = away(t, h)
		must.Get(h.Apply(t.Context(), d))(t)
		assert.Empty(t, must.Get(os.ReadDir(filepath.Dir(h.Path)))(t))
		assert.NoDirExists(t, h.Units+"/bird.service.d")
		assert.True(t, slices.Contains(*told, "systemctl disable bird"), "%v", *told)
		_, d = away(t, h)
		assert.Empty(t, d)
	}
}

// The former file is the same again, with its owner, mode and time.
func TestAbsentPutsTheFormerFileBack(t *testing.T) {
	h, _ := booted(t, map[string]string{"bird/bird.conf": "mine", "units/multi-user.target.wants/bird.service": ""})
	then := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	require.NoError(t, os.Chmod(h.Path, 0o604))
	require.NoError(t, os.Chtimes(h.Path, then, then))
	have := must.Get(h.Observe(t.Context()))(t)
	d := must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(1), Unit: h.Unit()}, have))(t)
	// BIRD is not asked: what it would check is not a configuration.
	must.Get(h.Apply(t.Context(), slices.DeleteFunc(d, func(s bird.Step) bool {
		return s.Do == bird.ActInstall || s.Do == bird.ActStart
	})))(t)
	require.NoError(t, os.WriteFile(h.Path, conf(1), 0o640))

	have, d = away(t, h)
	assert.Equal(t, "unitless back start", actions(d))
	_, after := bird.Views(have, d)
	assert.Contains(t, after, "mine")
	must.Get(h.Apply(t.Context(), d[:2]))(t)
	assert.Equal(t, "mine", string(must.Get(os.ReadFile(h.Path))(t)))
	info := must.Get(os.Stat(h.Path))(t)
	assert.Equal(t, then, info.ModTime().UTC())
	assert.EqualValues(t, 0o604, info.Mode().Perm())
}

// A bird.conf of the user's own stays, and so does his BIRD. One that a run which was
// cut off has put back is started.
func TestAbsentLeavesAnother(t *testing.T) {
	h, _ := booted(t, map[string]string{"bird/bird.conf": "mine", "units/multi-user.target.wants/bird.service": ""})
	_, d := away(t, h)
	assert.Empty(t, d)
	require.NoError(t, os.WriteFile(h.Path+".good", conf(1), 0o640))
	_, d = away(t, h)
	assert.Equal(t, "start remove", actions(d))
}

// A drop-in of that name which somebody else made is neither overwritten nor removed.
func TestForeignUnit(t *testing.T) {
	h, _ := booted(t, map[string]string{"units/bird.service.d/50-wgmesh.conf": "[Service]\nNice=5\n"})
	_, err := h.Observe(t.Context())
	require.EqualError(t, err, h.Units+"/bird.service.d/50-wgmesh.conf was not made by wgmesh.router: move it away")
}

// Each bird.conf that is not ours is somewhere when it is replaced, also with a copy of another one
// there. The one from before us is put back when we go.
func TestOriginals(t *testing.T) {
	for name, tt := range map[string]struct{ files, after, gone map[string]string }{
		"the first": {
			files: map[string]string{"bird.conf": "mine"},
			after: map[string]string{"bird.conf.orig": "mine"},
			gone:  map[string]string{"bird.conf": "mine"},
		},
		"kept by a run that was cut off": {
			files: map[string]string{"bird.conf": "mine", "bird.conf.orig": "mine"},
			after: map[string]string{"bird.conf.orig": "mine"},
			gone:  map[string]string{"bird.conf": "mine"},
		},
		"beside a copy of somebody's own": {
			files: map[string]string{"bird.conf": "mine", "bird.conf.orig": "older"},
			after: map[string]string{"bird.conf.orig": "mine", "bird.conf.orig-da925a30": "older"},
			gone:  map[string]string{"bird.conf": "mine", "bird.conf.orig-da925a30": "older"},
		},
		"in the place of ours": {
			files: map[string]string{"bird.conf": "mine", "bird.conf.orig": "older", "bird.conf.good": string(conf(2))},
			after: map[string]string{
				"bird.conf.orig": "older", "bird.conf.orig-3fd30542": "mine", "bird.conf.good": string(conf(2)),
			},
			gone: map[string]string{"bird.conf": "older", "bird.conf.orig-3fd30542": "mine"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"units/multi-user.target.wants/bird.service": ""}
			for path, text := range tt.files {
				files["bird/"+path] = text
			}
			h, _ := booted(t, files)
			there := func() map[string]string {
				out := map[string]string{}
				for _, e := range must.Get(os.ReadDir(filepath.Dir(h.Path)))(t) {
					out[e.Name()] = string(must.Get(os.ReadFile(filepath.Join(filepath.Dir(h.Path), e.Name())))(t))
				}
				return out
			}
			apply := func(d bird.Delta, but bird.Action) { // BIRD is not asked
				d = slices.DeleteFunc(d, func(s bird.Step) bool { return s.Do == but })
				must.Get(h.Apply(t.Context(), d))(t)
			}
			touched := h.Touched()
			have := must.Get(h.Observe(t.Context()))(t)
			d := must.Get(bird.Diff(bird.Want{State: bird.Applied, Text: conf(1), Unit: h.Unit()}, have))(t)
			apply(d, bird.ActInstall)
			require.NoError(t, os.WriteFile(h.Path, conf(1), 0o640))
			tt.after["bird.conf"] = string(conf(1))
			assert.Equal(t, tt.after, there())
			for path := range tt.after { // else the guard does not take it back
				assert.Contains(t, touched, filepath.Join(filepath.Dir(h.Path), path))
			}

			_, d = away(t, h)
			apply(d, bird.ActStart)
			assert.Equal(t, tt.gone, there())
		})
	}
}
