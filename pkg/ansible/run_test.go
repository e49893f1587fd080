package ansible_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/ansible"
)

type settings struct {
	Port  int    `json:"port"`
	Fault string `json:"fault"`
}

// host is what the module of these tests manages: one port.
type host struct {
	port    int
	planned int
	applied int
}

func (h *host) plan(_ context.Context, o settings) (ansible.Plan, error) {
	h.planned++
	p := ansible.Plan{
		Before:  map[string]any{"port": h.port},
		After:   map[string]any{"port": o.Port},
		Changed: h.port != o.Port,
		Return:  map[string]any{"old": h.port, "rc": 7},
	}
	p.Apply = func(ctx context.Context) (ansible.Outcome, error) {
		h.applied++
		switch o.Fault {
		case "at once":
			return ansible.Outcome{}, errors.New("eth0: no such device")
		case "half-way":
			return ansible.Outcome{Done: []string{"opened port 1"}}, errors.New("eth0: no such device")
		case "panic":
			panic("secret")
		case "runtime panic":
			return ansible.Outcome{Done: []string{[]string{}[o.Port]}}, nil
		case "signal":
			if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
				return ansible.Outcome{}, err
			}
			<-ctx.Done()
			return ansible.Outcome{}, ctx.Err()
		}
		h.port = o.Port
		return ansible.Outcome{
			Done:   []string{fmt.Sprintf("set port %d", h.port)},
			Return: map[string]any{"new": h.port},
		}, nil
	}
	switch o.Fault {
	case "plan":
		return p, errors.New("port: nothing there")
	case "plan joined":
		return p, fmt.Errorf("mesh: %w", errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))))
	case "warn":
		p.Warnings = []string{"look"}
	case "not JSON":
		p.Return["x"] = math.Inf(1)
	}
	return p, nil
}

func (h *host) module(t *testing.T) ansible.Module {
	return ansible.New(h.plan).WithLock(filepath.Join(t.TempDir(), "lock"))
}

func TestRun(t *testing.T) {
	for name, tt := range map[string]struct {
		in, out string
		port    int // afterwards; it starts as 1
		status  int
	}{
		"applies":       {in: `{"port":2}`, port: 2, out: `{"changed":true,"done":["set port 2"],"old":1,"new":2}`},
		"nothing to do": {in: `{"port":1}`, port: 1, out: `{"changed":false,"old":1}`},
		"check":         {in: `{"port":2,"_ansible_check_mode":true}`, port: 1, out: `{"changed":true,"old":1}`},
		"check as text": {in: `{"port":2,"_ansible_check_mode":"True"}`, port: 1, out: `{"changed":true,"old":1}`},
		"diff": {
			in: `{"port":2,"_ansible_diff":true}`, port: 2,
			out: `{"changed":true,"done":["set port 2"],` +
				`"old":1,"new":2,"diff":{"before":"port: 1\n","after":"port: 2\n"}}`,
		},
		"check and diff": {
			in:   `{"port":2,"_ansible_diff":true,"_ansible_check_mode":true}`,
			port: 1, out: `{"changed":true,"old":1,"diff":{"before":"port: 1\n","after":"port: 2\n"}}`,
		},
		"null flags": {
			in: `{"port":2,"_ansible_diff":null,"_ansible_check_mode":null}`, port: 2,
			out: `{"changed":true,"done":["set port 2"],"old":1,"new":2}`,
		},
		"warning": {in: `{"port":1,"fault":"warn"}`, port: 1, out: `{"changed":false,"old":1,"warnings":["look"]}`},

		"unknown option": {
			in: `{"prot":2}`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"prot: unknown option; did you mean \"port\"?",` +
				`"causes":[{"cause":"prot: unknown option","do":"did you mean \"port\"?"}]}`,
		},
		"two problems": {
			in: `{"prot":2,"port":"x"}`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"2 problems: (1) port: expected an integer, got \"x\"; ` +
				`(2) prot: unknown option; did you mean \"port\"?",` +
				`"causes":[{"cause":"port: \"x\"","do":"expected an integer"},` +
				`{"cause":"prot: unknown option","do":"did you mean \"port\"?"}]}`,
		},
		"no JSON": {
			in: `{`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"arguments: expected one JSON object: ` +
				`unexpected end of JSON input","causes":[{"cause":"arguments",` +
				`"do":"expected one JSON object: unexpected end of JSON input"}]}`,
		},
		"odd check mode": {
			in: `{"port":2,"_ansible_check_mode":"maybe"}`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"_ansible_check_mode: expected yes or no, got \"maybe\"",` +
				`"causes":[{"cause":"_ansible_check_mode: \"maybe\"","do":"expected yes or no"}]}`,
		},
		"plan fails": {
			in: `{"port":2,"fault":"plan"}`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"port: nothing there","old":1,` +
				`"causes":[{"cause":"port: nothing there","do":""}]}`,
		},
		"many problems": {
			in: `{"fault":"plan joined"}`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"mesh: 3 problems: (1) a; (2) b; (3) c","old":1,` +
				`"causes":[{"cause":"mesh: a","do":""},{"cause":"mesh: b","do":""},` +
				`{"cause":"mesh: c","do":""}]}`,
		},
		"fails at once": {
			in: `{"port":2,"fault":"at once"}`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"eth0: no such device","old":1,` +
				`"causes":[{"cause":"eth0: no such device","do":""}]}`,
		},
		"fails half-way": {
			in: `{"port":2,"fault":"half-way"}`, port: 1, status: 1,
			out: `{"changed":true,"done":["opened port 1"],"failed":true,"msg":"eth0: no such device","old":1,` +
				`"causes":[{"cause":"eth0: no such device","do":""}]}`,
		},
		"told to stop": {
			in: `{"port":2,"fault":"signal"}`, port: 1, status: 1,
			out: `{"changed":false,"failed":true,"msg":"context canceled","old":1,` +
				`"causes":[{"cause":"context canceled","do":""}]}`,
		},
		"not JSON": {
			in: `{"port":2,"fault":"not JSON"}`, port: 2, status: 1,
			out: `{"changed":true,"failed":true,"msg":"internal error: the result is not JSON; please report it"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := host{port: 1}
			var out bytes.Buffer
			status := h.module(t).Run(nil, strings.NewReader(tt.in), &out)
			assert.JSONEq(t, tt.out, out.String())
			assert.Equal(t, tt.status, status)
			assert.Equal(t, tt.port, h.port)
			assert.Equal(t, 1, strings.Count(out.String(), "\n"), "one line")
		})
	}
}

func TestRunSurvivesPanics(t *testing.T) {
	for fault, want := range map[string]string{
		"panic":         "internal error: panic in ",
		"runtime panic": "internal error: runtime error: index out of range [9] with length 0 in ",
	} {
		t.Run(fault, func(t *testing.T) {
			h := host{port: 1}
			var out bytes.Buffer
			assert.Equal(t, 1, h.module(t).Run(nil, strings.NewReader(`{"port":9,"fault":"`+fault+`"}`), &out))
			var res struct {
				Failed, Changed bool
				Msg             string
			}
			require.NoError(t, json.Unmarshal(out.Bytes(), &res))
			assert.True(t, res.Failed)
			assert.True(t, res.Changed, "nobody knows how far it came")
			assert.Contains(t, res.Msg, want)
			assert.Contains(t, res.Msg, "(*host).plan", "the place is named")
			assert.NotContains(t, out.String(), "secret")
			assert.NotContains(t, out.String(), "goroutine")
		})
	}
}

// The law of every module: a second run finds nothing to do.
func TestRunConverges(t *testing.T) {
	h := host{port: 1}
	m := h.module(t)
	for range 3 {
		require.Equal(t, 0, m.Run(nil, strings.NewReader(`{"port":2}`), &bytes.Buffer{}))
	}
	assert.Equal(t, host{port: 2, planned: 3, applied: 1}, h)
}

func TestRunReadsAFile(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		left bool
	}{
		"made by Ansible":         {`{"port":2,"_ansible_diff":false}`, false},
		"made by Ansible, broken": {`{"port":2,"_ansible_diff":`, false},
		"to be kept":              {`{"port":2,"_ansible_keep_remote_files":true}`, true},
		"written by a person":     {`{"port":2}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "args")
			require.NoError(t, os.WriteFile(file, []byte(tt.in), 0o600))
			h := host{port: 1}
			unlinkedFirst := false
			m := ansible.New(func(ctx context.Context, o settings) (ansible.Plan, error) {
				_, err := os.Stat(file)
				unlinkedFirst = os.IsNotExist(err)
				return h.plan(ctx, o)
			}).WithLock(filepath.Join(t.TempDir(), "lock"))
			m.Run([]string{file}, strings.NewReader("not read"), &bytes.Buffer{})

			_, err := os.Stat(file)
			assert.Equal(t, tt.left, err == nil)
			if h.planned > 0 {
				assert.Equal(t, 2, h.port)
				assert.Equal(t, !tt.left, unlinkedFirst)
			}
		})
	}
}

func TestRunNeedsOneFile(t *testing.T) {
	for _, argv := range [][]string{{"a", "b"}, {filepath.Join(t.TempDir(), "missing")}} {
		var out bytes.Buffer
		assert.Equal(t, 1, new(host).module(t).Run(argv, strings.NewReader(`{}`), &out))
		assert.Contains(t, out.String(), `"failed":true`)
	}
}

// What stands against a change is asked in check mode only, and only when there
// is something to change.
func TestRehearse(t *testing.T) {
	for name, tt := range map[string]struct {
		args   string
		warned bool
	}{
		"check mode":            {`{"port": 2, "_ansible_check_mode": true}`, true},
		"check mode, no change": {`{"port": 1, "_ansible_check_mode": true}`, false},
		"not in check mode":     {`{"port": 2}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			m := ansible.New(func(_ context.Context, o settings) (ansible.Plan, error) {
				return ansible.Plan{
					Changed: o.Port == 2, Warnings: []string{"first"},
					Apply:    func(context.Context) (ansible.Outcome, error) { return ansible.Outcome{}, nil },
					Rehearse: func(context.Context) []string { asked++; return []string{"no permission"} },
				}, nil
			}, ansible.Unlocked())
			var out bytes.Buffer
			assert.Zero(t, m.Run(nil, strings.NewReader(tt.args), &out))
			if tt.warned {
				assert.Contains(t, out.String(), `"warnings":["first","no permission"]`)
			} else {
				assert.Contains(t, out.String(), `"warnings":["first"]`)
				assert.Zero(t, asked)
			}
		})
	}
}

// A record is not a change: it is written on every run but in check mode, also
// beside a failure, and says so when it cannot be written.
func TestRecord(t *testing.T) {
	for name, tt := range map[string]struct {
		options  string
		plan     error
		record   error
		recorded int
		out      string
	}{
		"each run":     {options: `{}`, recorded: 1, out: `{"changed":false}`},
		"not in check": {options: `{"_ansible_check_mode":true}`, out: `{"changed":false}`},
		"beside a failure": {
			options: `{}`, plan: errors.New("wg20: down"), recorded: 1,
			out: `{"changed":false,"failed":true,"msg":"wg20: down","causes":[{"cause":"wg20: down","do":""}]}`,
		},
		"cannot be": {
			options: `{}`, record: errors.New("/m: no space"), recorded: 1,
			out: `{"changed":false,"failed":true,"msg":"/m: no space","causes":[{"cause":"/m: no space","do":""}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			recorded := 0
			m := ansible.New(func(context.Context, struct{}) (ansible.Plan, error) {
				return ansible.Plan{Record: func(context.Context) (map[string]any, error) {
					recorded++
					return nil, tt.record
				}}, tt.plan
			}).WithLock(filepath.Join(t.TempDir(), "lock"))
			var out bytes.Buffer
			m.Run(nil, strings.NewReader(tt.options), &out)
			assert.JSONEq(t, tt.out, out.String())
			assert.Equal(t, tt.recorded, recorded)
		})
	}
}
