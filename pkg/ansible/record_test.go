package ansible_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/ansible"
)

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
