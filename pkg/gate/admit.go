package gate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Module is the one module that a caller may run.
const Module = "wgmesh.router.mesh_peer"

// MaxRequest is the size of a request in bytes. One with an envelope has about four thousand.
const MaxRequest = 64 << 10

// public are the options that a caller may set: its name and its public keys. Options
// that name a file or another router come from this router itself.
var public = []string{"state", "public_key", "sealing_key", "envelopes"}

// Admit turns what a caller sent, the arguments of an Ansible module, into the
// arguments that the module mesh_peer gets here. The caller's name comes
// from sshd. An error says what the caller may not do.
func Admit(request []byte, caller string) (arguments []byte, err error) {
	if !plainName.Fits(caller) {
		return nil, fmt.Errorf("gate: %q is not the name of a router", caller)
	}
	if len(request) > MaxRequest {
		return nil, fmt.Errorf("gate: the request of %s is larger than %d bytes", caller, MaxRequest)
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(request, &sent); err != nil || sent == nil {
		return nil, fmt.Errorf("gate: expected the arguments of %s as one JSON object; "+
			"a shell, a file or a tunnel is not to be had here", Module)
	}
	var module string
	if err := json.Unmarshal(sent["_ansible_module_name"], &module); err != nil || module != Module {
		return nil, fmt.Errorf("gate: %s may run %s here and nothing else", caller, Module)
	}
	out := map[string]any{"name": caller}
	for _, key := range slices.Sorted(maps.Keys(sent)) {
		switch {
		case key == "name":
			var name string
			if err := json.Unmarshal(sent[key], &name); err != nil || name != caller {
				return nil, fmt.Errorf("gate: %s may speak for itself only, not for %s", caller, sent[key])
			}
		case key == "_ansible_check_mode" || key == "_ansible_diff" || slices.Contains(public, key):
			out[key] = sent[key]
		case strings.HasPrefix(key, "_ansible_"): // says nothing that matters here
		default:
			return nil, fmt.Errorf("gate: option %s is not for callers; they may give %s", key,
				strings.Join(public, ", "))
		}
	}
	return json.Marshal(out)
}
