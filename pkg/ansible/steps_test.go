package ansible_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/ansible"
)

// several is a call of two modules: "port" of run_test.go, under a lock, and "read".
func several(t *testing.T, h *host) ansible.Module {
	t.Helper()
	read := ansible.New(func(_ context.Context, o struct {
		Old  int      `json:"old"`
		List []string `json:"list"`
	},
	) (ansible.Plan, error) {
		return ansible.Plan{Return: map[string]any{"seen": o.Old, "list": o.List}}, nil
	}, ansible.Unlocked())
	m := ansible.Sequence(map[string]ansible.Module{
		"port": h.module(t), "read": read.WithLock(""),
	})
	return m.WithLock(filepath.Join(t.TempDir(), "unused"))
}

func TestSteps(t *testing.T) {
	first := `{"name":"A","module":"port","register":"a","args":{"port":2}}`
	for name, tt := range map[string]struct {
		in, out string
		port    int
	}{
		"in order, with what the first found": {
			in: `{"steps":[` + first +
				`,{"name":"B","module":"read","register":"b","args":{"old":{"$from":"a.new"}}}]}`,
			port: 2,
			out: `{"changed":true,"answers":{"a":{"changed":true,"done":["set port 2"],"old":1,"new":2},` +
				`"b":{"changed":false,"seen":2,"list":null}}}`,
		},
		"check mode writes nothing": {
			in:   `{"_ansible_check_mode":true,"steps":[` + first + `]}`,
			port: 1, out: `{"changed":true,"answers":{"a":{"changed":true,"old":1}}}`,
		},
		"one only looks": {
			in: `{"steps":[{"name":"A","module":"port","register":"a","args":{"port":2},"check":true},
				{"name":"B","module":"read","register":"b"}]}`,
			port: 1, out: `{"changed":false,"answers":{"a":{"changed":true,"old":1},` +
				`"b":{"changed":false,"seen":0,"list":null}}}`,
		},
		"what is missing has a default": {
			in: `{"steps":[` + first +
				`,{"name":"B","module":"read","register":"b",
					"args":{"old":{"$from":"a.none","$default":7},"list":{"$from":"a.done"}}}]}`,
			port: 2,
			out: `{"changed":true,"answers":{"a":{"changed":true,"done":["set port 2"],"old":1,"new":2},` +
				`"b":{"changed":false,"seen":7,"list":["set port 2"]}}}`,
		},
		"what is given": {
			in: `{"given":{"all":{"old":5,"list":[{"$from":"no reference"}]}},"steps":[
				{"name":"A","module":"read","register":"a","when":{"$from":"all.list"},
					"args":{"old":{"$from":"all.old"}}}]}`,
			port: 1, out: `{"changed":false,"answers":{"a":{"changed":false,"seen":5,"list":null}}}`,
		},
		"what is found takes the place of what is given, and what is left out does not": {
			in: `{"given":{"a":{"new":5},"b":{"new":6}},"steps":[` + first + `,
				{"name":"B","module":"port","register":"b","when":false,"args":{"port":3}},
				{"name":"C","module":"read","register":"c","args":{"old":{"$from":"a.new"}}},
				{"name":"D","module":"read","register":"d","args":{"old":{"$from":"b.new"}}}]}`,
			port: 2,
			out: `{"changed":true,"answers":{"a":{"changed":true,"done":["set port 2"],"old":1,"new":2},` +
				`"c":{"changed":false,"seen":2,"list":null},"d":{"changed":false,"seen":6,"list":null}}}`,
		},
		"left out": {
			in: `{"steps":[{"name":"A","module":"read","register":"a"},
				{"name":"B","module":"port","register":"b","when":{"$from":"a.changed"},"args":{"port":3}},
				{"name":"C","module":"port","register":"c","unless":"yes","args":{"port":3}}]}`,
			port: 1, out: `{"changed":false,"answers":{"a":{"changed":false,"seen":0,"list":null}}}`,
		},
		"the first failure is the last step": {
			in: `{"steps":[{"name":"A","module":"port","register":"a","args":{"port":2,"fault":"at once"}},` +
				`{"name":"B","module":"read","register":"b"}]}`,
			port: 1,
			out: `{"changed":false,"failed":true,"msg":"A: eth0: no such device","answers":{"a":{"changed":false,` +
				`"failed":true,"msg":"eth0: no such device","old":1,` +
				`"causes":[{"cause":"eth0: no such device","do":""}]}}}`,
		},
		"a result that is not JSON": {
			in: `{"steps":[{"name":"A","module":"port","register":"a","args":{"port":2,"fault":"not JSON"}},` +
				`{"name":"B","module":"read","register":"b"}]}`,
			port: 2,
			out: `{"changed":true,"failed":true,"msg":"A: internal error: the result is not JSON; please report it",` +
				`"answers":{"a":{"changed":true,"failed":true,` +
				`"msg":"internal error: the result is not JSON; please report it"}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := host{port: 1}
			var out bytes.Buffer
			several(t, &h).Run(nil, strings.NewReader(tt.in), &out)
			assert.JSONEq(t, tt.out, out.String())
			assert.Equal(t, tt.port, h.port)
		})
	}
}

// Another run comes before all steps up to the last that changes something or after, and not in between: what the
// first reads holds for that.
func TestStepsKeepTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	free := func() bool {
		unlock, err := ansible.Lock(context.Background(), path, 0)
		if err == nil {
			unlock()
		}
		return err == nil
	}
	var found []bool
	look := func(context.Context, struct{}) (ansible.Plan, error) {
		found = append(found, free())
		return ansible.Plan{}, nil
	}
	m := ansible.Sequence(map[string]ansible.Module{
		"read": ansible.New(look).WithLock(""), "change": ansible.New(look).WithLock(path),
	}).WithLock("")
	step := func(register, module string) string {
		return `{"name":"A","module":"` + module + `","register":"` + register + `"}`
	}
	for _, tt := range []struct {
		flags string
		found []bool
	}{
		{"", []bool{false, false, false, false, true}},
		{`"_ansible_check_mode":true,`, []bool{true, true, true, true, true}},
	} {
		found = nil
		in := `{` + tt.flags + `"steps":[` + step("a", "read") + `,` + step("b", "change") + `,` + step("c", "read") +
			`,` + step("d", "change") + `,` + step("e", "read") + `]}`
		assert.Zero(t, m.Run(nil, strings.NewReader(in), io.Discard))
		assert.Equal(t, tt.found, found)
		assert.True(t, free(), "it is released at the end")
	}
	found = nil
	m = ansible.Sequence(map[string]ansible.Module{
		"read": ansible.New(look).WithLock(""), "change": ansible.New(look).WithLock(t.TempDir()),
	}).WithLock("")
	var out strings.Builder
	assert.Equal(t, 1, m.Run(nil, strings.NewReader(`{"steps":[`+step("a", "read")+`,`+step("b", "change")+`]}`), &out))
	assert.Empty(t, found)
	assert.Contains(t, out.String(), `"answers":{"b":{`, "it is told of the step that wants it")
}

// What cannot work is refused before the first step does anything.
func TestStepsAreRefused(t *testing.T) {
	for name, tt := range map[string]struct{ in, msg string }{
		"no steps": {`{}`, "steps: required option is missing"},
		"unknown module": {
			`{"steps":[{"name":"A","module":"port","register":"a","args":{"port":2}},
				{"name":"B","module":"prot","register":"b"}]}`,
			`steps[1].module: prot: no such module; did you mean "port"?`,
		},
		"unknown reference": {
			`{"steps":[{"name":"A","module":"port","register":"a","args":{"port":2}},
				{"name":"B","module":"read","register":"b","args":{"old":{"$from":"b.new"}}}]}`,
			`steps[1].args.old: $from "b.new": neither given nor registered by an earlier step: "b"; ` +
				`did you mean "a"?`,
		},
		"a later step": {
			`{"steps":[{"name":"A","module":"port","register":"a","args":{"port":{"$from":"b.x"}}},
				{"name":"B","module":"read","register":"b"}]}`,
			`neither given nor registered by an earlier step: "b"; none is expected here`,
		},
		"a name twice": {
			`{"steps":[{"name":"A","module":"read","register":"a"},{"name":"B","module":"read","register":"a"}]}`,
			`steps[1].register: "a" is taken`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := host{port: 1}
			var out bytes.Buffer
			assert.Equal(t, 1, several(t, &h).Run(nil, strings.NewReader(tt.in), &out))
			assert.Contains(t, strings.ReplaceAll(out.String(), `\"`, `"`), tt.msg)
			assert.Zero(t, h.planned)
		})
	}
}

func TestAStepSurvivesPanics(t *testing.T) {
	h := host{port: 1}
	var out bytes.Buffer
	in := `{"steps":[{"name":"A","module":"port","register":"a","args":{"port":2,"fault":"panic"}},
		{"name":"B","module":"port","register":"b","args":{"port":3}}]}`
	assert.Equal(t, 1, several(t, &h).Run(nil, strings.NewReader(in), &out))
	assert.Contains(t, out.String(), "internal error: panic in ")
	assert.NotContains(t, out.String(), "secret")
	assert.Equal(t, 1, h.port)
}
