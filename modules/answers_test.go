package main

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/route"
	"github.com/wgmesh/router/pkg/measure"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/status"
	"github.com/wgmesh/router/pkg/sysctl"
)

// A returned is one value that a module returns, as its documentation or the table
// in plugin_utils/answers.py describes it.
type returned struct {
	Type     string              `json:"type" yaml:"type"`
	Elements string              `json:"elements" yaml:"elements"`
	Contains map[string]returned `json:"contains" yaml:"contains"`
	Returned string              `json:"-" yaml:"returned"`
	Optional bool                `json:"optional" yaml:"-"`
}

// describe prints the table of answers in the words of the documentation.
const describe = `
import json, sys
sys.path.insert(0, "../collection/plugins/plugin_utils")
import answers as a

def fields(o):
    return {name: dict(words(t), optional=not needed) for name, (t, needed) in o.fields.items()}

def words(t):
    if isinstance(t, a.List):
        inner = words(t.elements)
        return {"type": "list", "elements": inner["type"], "contains": inner.get("contains")}
    if isinstance(t, a.Object):
        return {"type": "dict", "contains": fields(t)}
    return {"type": t.word}

json.dump({module: fields(a.Object(table)) for module, table in a.ANSWERS.items()}, sys.stdout)
`

func answerTable(t *testing.T) map[string]map[string]returned {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", "-c", describe)
	cmd.Stderr = os.Stderr
	out := must.Get(cmd.Output())(t)
	var table map[string]map[string]returned
	require.NoError(t, json.Unmarshal(out, &table))
	return table
}

// What the action plugin lets through of a module's answer is what the module's
// documentation says that it returns, with the same types at every depth.
func TestAnswersAreDocumented(t *testing.T) {
	table := answerTable(t)
	require.Len(t, table, len(modules())+len(inCloud))
	for name, have := range table {
		t.Run(name, func(t *testing.T) {
			raw := must.Get(os.ReadFile("../collection/plugins/modules/" + inAnsible(name) + ".py"))(t)
			m := regexp.MustCompile(`(?s)RETURN = r"""(.*?)"""`).FindSubmatch(raw)
			require.NotNil(t, m, "no RETURN")
			var want map[string]returned
			require.NoError(t, yaml.Unmarshal(m[1], &want))
			for key, value := range want {
				value.Optional = value.Returned != "success" && value.Returned != "always"
				want[key] = value
			}
			sameReturned(t, "", want, have)
		})
	}
}

func sameReturned(t *testing.T, prefix string, want, have map[string]returned) {
	t.Helper()
	for key, w := range want {
		h, found := have[key]
		if !assert.True(t, found, "%s%s is documented, and answers.py drops it", prefix, key) {
			continue
		}
		assert.Equal(t, w.Type, h.Type, "type of %s%s", prefix, key)
		assert.Equal(t, w.Elements, h.Elements, "elements of %s%s", prefix, key)
		if prefix == "" {
			assert.Equal(t, w.Optional, h.Optional, "%s: whether it may be missing, by `returned`", key)
		}
		if h.Contains != nil { // a plan is data for other modules on the same host
			sameReturned(t, prefix+key+".", w.Contains, h.Contains)
		}
	}
	for key := range have {
		assert.Contains(t, want, key, "answers.py lets %s%s through, and it is not documented", prefix, key)
	}
}

// A field that is in no documentation is dropped, at every depth, and said with the router's
// name, in the same words each time: Ansible shows the same warning once.
func TestWhatNobodyKnowsIsSaid(t *testing.T) {
	said := func(module, answer string) (got map[string]any) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "python3", "-c", `
import json, sys
sys.path.insert(0, "../collection/plugins/plugin_utils")
import answers
json.dump(answers.accept(sys.argv[1], "azure-1", {"tunnels": [{"peer": "b"}]}, json.loads(sys.argv[2])), sys.stdout)`,
			module, answer)
		cmd.Stderr = os.Stderr
		require.NoError(t, json.Unmarshal(must.Get(cmd.Output())(t), &got))
		return got
	}
	const pending = `{"tunnel": 1, "peer": "b", "reason": "", "since": 5}`
	got := said("wg_psk", `{"changed": false, "psks": [], "owner\u001b[2J": 1, "pending": [`+pending+`, `+pending+`]}`)
	assert.Equal(t, []any{"azure-1: its answer to wg_psk has owner[2J, pending.since, which nobody knows here, " +
		"and which is not used: " +
		"its program is another version, or somebody changed it"}, got["warnings"])
	assert.NotContains(t, got, "owner")
	assert.NotContains(t, got["pending"].([]any)[0], "since")
	many := said("wg_psk", `{"psks": [], "pending": [], "warnings": ["x"], "a": 1, "b": 1, "c": 1, "d": 1}`)
	assert.Contains(t, many["warnings"].([]any)[1], " has a, b, c, d, which")
	assert.NotContains(t, said("wg_psk", `{"psks": [], "pending": [], "diff": {"before": "", "after": ""}}`),
		"warnings")
	assert.NotContains(t, said("mesh_steps", `{"answers": {"x": {"y": 1}}}`), "warnings")
}

// And it is what the modules' own types have.
func TestAnswersHaveTheTypes(t *testing.T) {
	table := answerTable(t)
	for path, value := range map[string]any{
		"cloud_forwarding.interfaces": cloud.Interface{},
		"cloud_routes.routes":         route.Route{},
		"mesh_measure.tunnels":        measure.Result{},
		"mesh_peer.envelopes":         psk.Envelope{},
		"mesh_peer.pending":           psk.Pending{},
		"mesh_peer.psks":              psk.Held{},
		"mesh_preflight.causes":       cause.Cause{},
		"mesh_status.tunnels":         status.View{},
		"sysctl_router.defeated":      sysctl.Defeat{},
		"wg_psk.envelopes":            psk.Envelope{},
		"wg_psk.pending":              psk.Pending{},
		"wg_psk.psks":                 psk.Held{},
		"wg_tunnel.pending":           plan.Pending{},
		"wg_tunnel.worked_over":       status.End{},
	} {
		module, key, _ := strings.Cut(path, ".")
		t.Run(path, func(t *testing.T) {
			assert.Equal(t, typed(reflect.TypeOf(value)), table[module][key].Contains)
		})
	}
}

// typed describes a struct as the table does.
func typed(t reflect.Type) map[string]returned {
	out := map[string]returned{}
	for f := range t.Fields() {
		name, omit, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			maps.Copy(out, typed(f.Type))
			continue
		}
		r := returned{Optional: strings.HasPrefix(omit, "omit")}
		switch f.Type.Kind() {
		case reflect.Bool:
			r.Type = "bool"
		case reflect.Int, reflect.Int64:
			r.Type = "int"
		case reflect.Float64:
			r.Type = "float"
		case reflect.Struct:
			r.Type, r.Contains = "dict", typed(f.Type)
			if len(r.Contains) == 0 ||
				reflect.PointerTo(f.Type).Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()) {
				r.Type, r.Contains = "str", nil // an address, a network
			}
		default:
			r.Type = "str"
		}
		out[name] = r
	}
	return out
}
