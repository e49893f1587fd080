package cloudforwarding_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	cloudforwarding "github.com/wgmesh/router/modules/cloud_forwarding"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"

	"github.com/wgmesh/router/internal/fakecloud"
)

type options map[string]any

// and returns the options with more of them.
func (o options) and(more options) options {
	out := maps.Clone(o)
	maps.Copy(out, more)
	return out
}

// check is what Ansible sends in check mode.
var check = options{"_ansible_check_mode": true}

// run runs the module as Ansible does, on a machine outside of any cloud, and
// returns its one line of JSON.
func run(t *testing.T, o options) map[string]any {
	t.Helper()
	return runOn(t, fstest.MapFS{}, o)
}

func runOn(t *testing.T, dmi fstest.MapFS, o options) map[string]any {
	t.Helper()
	raw, err := json.Marshal(o)
	require.NoError(t, err)
	p := cloudforwarding.Planner{Pace: cloud.Pace{First: time.Millisecond, Most: 20 * time.Millisecond}, DMI: dmi, Allow: fakecloud.Loopback}
	var out bytes.Buffer
	status := ansible.New(p.Plan, ansible.Unlocked()).Run(nil, bytes.NewReader(raw), &out)
	assert.Equal(t, 1, strings.Count(out.String(), "\n"), out.String())
	var result map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &result), out.String())
	assert.Equal(t, result["failed"] == true, status == 1)
	return result
}

// fails runs the module, which must fail, and returns its message.
func fails(t *testing.T, o options) (message string, changed bool) {
	t.Helper()
	result := run(t, o)
	require.Equal(t, true, result["failed"], "%v", result)
	return result["msg"].(string), result["changed"].(bool)
}

func dmi(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return out
}
