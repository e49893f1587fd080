package birdconfig_test

import (
	"testing"

	"github.com/wgmesh/router/pkg/plan"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	birdconfig "github.com/wgmesh/router/modules/bird_config"
	"github.com/wgmesh/router/pkg/ansible"
)

// Ansible hands over scalars as strings when they come from a template.
func TestOptions(t *testing.T) {
	var o birdconfig.Options
	require.NoError(t, ansible.Decode([]byte(`{
		"router_id": "0.0.0.3", "as": "65020", "transit": "yes", "networks": "10.1.0.0/16", "drain": "False",
		"static": [{"network": "10.1.0.0/16", "via": "10.1.0.1", "onlink": "no", "interface": null}],
		"originate": [{"network": "10.1.0.0/16", "med": "50"}],
		"owners": [{"as": 65020, "site": "azure", "networks": ["10.1.0.0/16"]}],
		"neighbors": [{"name": "gcp_1", "router": "gcp-1", "interface": "wg18", "address": "172.31.18.2",
			"local_address": "172.31.18.1", "as": "65040", "transit": true, "import_limit": "14"}],
		"bfd": {"interval": "100"}
	}`), &o))
	assert.Equal(t, plan.AS(65020), o.AS)
	assert.Equal(t, 100, o.BFD.Interval)
	assert.Equal(t, 3, o.BFD.Multiplier, "a default stays where the task is silent")
	assert.Equal(t, 120, o.Timeout)
	assert.Equal(t, 30, o.HoldTime)
	assert.False(t, o.Neighbors[0].Address6.IsValid())
}

func TestOptionsRefused(t *testing.T) {
	for options, want := range map[string]string{
		`{}`: "router_id: expected an IPv4 address",
		`{"router_id": "0.0.0.1", "as": 65001, "state": "present"}`:      "state",
		`{"router_id": "0.0.0.1", "as": 65001, "timeout": -1}`:           "timeout: expected 0 to 86400",
		`{"router_id": "0.0.0.1", "as": 65001, "path": "bird.conf"}`:     "path: expected an absolute path",
		`{"router_id": "0.0.0.1", "as": 65001, "neighbours": []}`:        "neighbors",
		`{"router_id": "0.0.0.1", "as": 65001, "static": [{"gw": "x"}]}`: "static[0].gw",
		`{"state": "drained", "drain_why": "a\nb"}`:                      "drain_why: ",
		`{"state": "confirmed", "drain_why": "x"}`:                       "drain_why: nothing is drained here",
		`{"state": "undrained", "drain": true}`:                          "drain: it goes with state: applied",
		`{"state": "confirmed", "service": "bird;reboot"}`: "service: " +
			"expected the name of a systemd unit",
		`{"router_id": "0.0.0.1", "as": 65001, "neighbors": [{"as": 1}]}`:  "neighbors[0]",
		`{"router_id": "0.0.0.1", "as": 65001, "bfd": {"multiplier": 1}}`:  "bfd.multiplier",
		`{"router_id": "0.0.0.1", "as": 65001, "hold_time": "one second"}`: "hold_time",
	} {
		var o birdconfig.Options
		assert.ErrorContains(t, ansible.Decode([]byte(options), &o), want, options)
	}
	var o birdconfig.Options
	assert.NoError(t, ansible.Decode([]byte(`{"state": "confirmed"}`), &o), "a confirmation needs no routing")
	assert.NoError(t, ansible.Decode([]byte(`{"state": "drained"}`), &o), "nor does a drain")
}
