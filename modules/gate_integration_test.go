//go:build integration

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
)

// A router that was taken over calls as often as it likes. It waits for itself alone: in a row at
// the router's lock its calls would keep the operator from removing it.
func TestOneCallOfACallerAtATime(t *testing.T) {
	call := func(caller string) string {
		var out bytes.Buffer
		request := strings.NewReader(`{"_ansible_module_name": "wgmesh.router.mesh_peer", "state": "known"}`)
		gateCommand(t.Context(), []string{caller}, request, &out, &out)
		return out.String()
	}
	release := must.Get(ansible.Turn(t.Context(), "gate-azure-1"))(t) // its call that is at work
	assert.Contains(t, call("azure-1"), "lock /run/wgmesh/gate-azure-1: held by pid ")
	const works = "gate.json does not exist"
	assert.Contains(t, call("azure-2"), works)
	release()
	assert.Contains(t, call("azure-1"), works)
}
