//go:build kernel

package kernel

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A network is three sites with one router each: office, azure and aws.
type network struct {
	t                  *testing.T
	office, azure, aws *router
	told               map[string]any // public keys of the routers
	reach              map[string]any // their addresses at their sites
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	require.FileExists(t, "/src/test/kernel/tests",
		"this test sets the clock back: it runs in the virtual machine of `make kernel` only")
	host(t, "ip", "link", "add", "under", "type", "bridge")
	host(t, "ip", "link", "set", "under", "up")
	n := &network{
		t: t, office: newRouter(t, "office-1", 1, 0), azure: newRouter(t, "azure-1", 2, 1),
		aws:  newRouter(t, "aws-1", 3, 2),
		told: map[string]any{}, reach: map[string]any{},
	}
	sites, routers := map[string]any{}, map[string]any{}
	for _, r := range n.routers() {
		site, _, _ := strings.Cut(r.name, "-")
		sites[site] = map[string]any{
			"as": 65000 + 10*r.id, "networks": fmt.Sprintf("10.%d.0.0/16", r.site),
			"gateway": fmt.Sprintf("10.%d.0.1", r.site),
		}
		routers[r.name] = map[string]any{"id": r.id, "site": site, "endpoint": r.endpoint()}
	}
	n.each(func(r *router) error {
		result, err := r.module("mesh_plan", map[string]any{"router": r.name, "routers": routers, "sites": sites})
		if err != nil {
			return err
		}
		raw, err := json.Marshal(result["plan"])
		if err != nil {
			return err
		}
		return json.Unmarshal(raw, &r.plan)
	})
	return n
}

func (n *network) routers() []*router { return []*router{n.office, n.azure, n.aws} }

// each does the same on all routers at once.
func (n *network) each(do func(r *router) error) {
	n.t.Helper()
	var wait sync.WaitGroup
	errs := make([]error, len(n.routers()))
	for i, r := range n.routers() {
		wait.Go(func() { errs[i] = do(r) })
	}
	wait.Wait()
	for _, err := range errs {
		require.NoError(n.t, err)
	}
}

// converge does what the role mesh does, step by step, and returns what said
// that it changed something.
func (n *network) converge(check bool) (changed []string) {
	n.t.Helper()
	var lock sync.Mutex
	step := func(module string, options func(r *router) map[string]any, keep func(r *router, result map[string]any)) {
		n.t.Helper()
		n.each(func(r *router) error {
			o := options(r)
			o["_ansible_check_mode"] = check
			result, err := r.module(module, o)
			if err != nil {
				return err
			}
			lock.Lock()
			defer lock.Unlock()
			if result["changed"] == true {
				changed = append(changed, r.name+": "+module)
			}
			keep(r, result)
			return nil
		})
	}
	nothing := func(*router, map[string]any) {}
	var envelopes []any
	pending := false

	step("wg_keypair", func(r *router) map[string]any { return map[string]any{"name": r.name} },
		func(r *router, result map[string]any) { n.told[r.name] = result["public"] })
	for _, state := range []string{"sealed", "opened"} {
		step("wg_psk", func(r *router) map[string]any {
			return map[string]any{
				"state": state, "name": r.name, "tunnels": r.plan["preshared_keys"],
				"peers": values(n.told), "envelopes": sealedFor(r, envelopes),
			}
		}, func(_ *router, result map[string]any) {
			list, _ := result["envelopes"].([]any)
			envelopes = append(envelopes, list...)
		})
	}
	step("sysctl_router", func(r *router) map[string]any { return options(r.plan["sysctl"]) }, nothing)
	step("wg_tunnel", func(r *router) map[string]any { return n.tunnels(r) },
		func(r *router, result map[string]any) {
			if !check {
				assert.Equal(n.t, "kernel", result["implementation"], r.name)
			}
		})
	bird := func(state string) func(*router) map[string]any {
		return func(r *router) map[string]any {
			o := options(r.plan["bird"])
			o["state"] = state
			return o
		}
	}
	step("bird_config", bird("applied"), func(r *router, result map[string]any) {
		n.reach[r.name] = result["source_addresses"]
		pending = pending || result["pending"] == true
	})
	if !check {
		n.healthy(4 * time.Minute)
	}
	if pending && !check {
		step("bird_config", bird("confirmed"), nothing)
	}
	return changed
}

// tunnels are the options of wg_tunnel.
func (n *network) tunnels(r *router) map[string]any {
	keys := map[string]any{}
	for name, public := range n.told {
		keys[name] = public.(map[string]any)["public_key"]
	}
	return map[string]any{"tunnels": r.plan["tunnels"], "public_keys": keys}
}

// healthy waits until all routers say that the network works, and returns how
// long that took.
func (n *network) healthy(within time.Duration) time.Duration {
	n.t.Helper()
	began := time.Now()
	n.each(func(r *router) error {
		o := options(r.plan["status"])
		o["reach"], o["wait"] = n.reach, int(within.Seconds())
		_, err := r.module("mesh_status", o)
		return err
	})
	return time.Since(began).Round(100 * time.Millisecond)
}

func options(raw json.RawMessage) map[string]any {
	o := map[string]any{}
	if err := json.Unmarshal(raw, &o); err != nil {
		panic(err) // a plan of ours that is not an object
	}
	return o
}

func values(m map[string]any) []any {
	list := []any{}
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

func sealedFor(r *router, envelopes []any) []any {
	list := []any{}
	for _, e := range envelopes {
		if e.(map[string]any)["to"] == r.name {
			list = append(list, e)
		}
	}
	return list
}
