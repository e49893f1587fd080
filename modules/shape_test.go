package main

import (
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/gate"
	"github.com/wgmesh/router/pkg/keypair"
	"github.com/wgmesh/router/pkg/psk"
	"github.com/wgmesh/router/pkg/sysctl"
)

// The domains that have the one shape. It costs the program nothing to say so here.
var (
	_ ansible.Reconciler[gate.Want, []gate.File, gate.Delta, map[string]string, []string]          = gate.Door{}
	_ ansible.Reconciler[keypair.Want, keypair.Have, keypair.Delta, keypair.View, keypair.Outcome] = keypair.Host{}
	_ ansible.Reconciler[psk.Want, psk.Have, psk.Delta, []psk.Row, psk.Outcome]                    = psk.Host{}
	_ ansible.Reconciler[sysctl.Want, sysctl.Have, sysctl.Delta, sysctl.View, []string]            = sysctl.Host{}
)
