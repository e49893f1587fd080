package bird_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/bird"
)

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
