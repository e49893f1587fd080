package sysctlrouter

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/sysctl"
)

// host is a fake file system with a few parameters.
func host(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for key, text := range map[string]string{
		"net/ipv4/ip_forward": "0", "net/ipv4/ip_local_reserved_ports": "",
		"net/ipv4/conf/all/rp_filter": "1", "net/ipv4/conf/default/rp_filter": "1", "net/ipv4/conf/wg20/rp_filter": "1",
		"net/core/rmem_max": "212992",
	} {
		path := filepath.Join(root, "proc/sys", key)
		must.Write(t, path, text+"\n", 0o644)
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "etc/sysctl.d"), 0o755))
	return root
}

func TestConverges(t *testing.T) {
	root := host(t)
	var o Options
	require.NoError(t, ansible.Decode([]byte(`{"interfaces":"wg20","reserved_ports":[51801,"51803-51804"]}`), &o))

	p := must.Get(o.plan(t.Context(), sysctl.Host{Root: root}))(t)
	require.True(t, p.Changed)
	assert.Contains(t, must.Get(p.Apply(t.Context()))(t).Done, "set net.ipv4.conf.wg20.rp_filter=0")
	assert.Equal(t, "51801,51803-51804", p.Return["reserved_ports"])
	assert.Contains(t, p.Return["file_only"], "net.core.wmem_max")

	again := must.Get(o.plan(t.Context(), sysctl.Host{Root: root}))(t)
	assert.False(t, again.Changed)
	assert.NotContains(t, string(must.Get(json.Marshal(again.Return))(t)), "null")
}

func TestOptions(t *testing.T) {
	for name, tt := range map[string]struct{ options, err string }{
		"none at all":   {options: `{}`},
		"lists as text": {options: `{"interfaces":"wg1,wg2","reserved_ports":"51801-51806,51810"}`},
		"bad port":      {options: `{"reserved_ports":[0]}`, err: `reserved_ports: port range "0"`},
		"bad interface": {options: `{"interfaces":["wg*"]}`, err: `interface "wg*"`},
		"bad buffer":    {options: `{"rmem_max":1}`, err: "net.core.rmem_max: expected 0"},
		"unknown":       {options: `{"interface":["wg1"]}`, err: `did you mean "interfaces"?`},
	} {
		t.Run(name, func(t *testing.T) {
			var o Options
			err := ansible.Decode([]byte(tt.options), &o)
			if tt.err == "" {
				require.NoError(t, err)
				assert.True(t, strings.HasPrefix(o.Path, "/etc/sysctl.d/99-zz-"))
				return
			}
			require.ErrorContains(t, err, tt.err)
		})
	}
}

// null and an empty list differ: keep, and none.
func TestOmittedListIsKept(t *testing.T) {
	var omitted, empty Options
	require.NoError(t, ansible.Decode([]byte(`{"interfaces":null}`), &omitted))
	require.NoError(t, ansible.Decode([]byte(`{"interfaces":[],"reserved_ports":[]}`), &empty))
	assert.Nil(t, omitted.Interfaces)
	assert.NotNil(t, empty.Interfaces)
	assert.NotNil(t, empty.ReservedPorts)
}
