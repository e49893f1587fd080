package wgkeypair

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/keypair"
)

func decode(t *testing.T, task string) (Options, error) {
	t.Helper()
	var o Options
	err := ansible.Decode([]byte(task), &o)
	return o, err
}

func TestOptions(t *testing.T) {
	o := must.Get(decode(t, `{"name":"azure-1","image_build":"no","_ansible_check_mode":true}`))(t)
	assert.Equal(t, Options{
		State: "present", Name: "azure-1", PrivateKeyFile: "/etc/wireguard/wgmesh.key",
		SealingKeyFile: "/etc/wireguard/wgmesh.seal",
		IdentityFile:   "/etc/wireguard/wgmesh.id", Regenerate: "partial_idempotence", BindToMachine: true,
	}, o)
	for task, want := range map[string]string{
		`{}`:                                 "name: required option is missing",
		`{"name":"a","regenerate":"often"}`:  "regenerate: expected one of never, fail",
		`{"name":"a","privat_key_file":"x"}`: `privat_key_file: unknown option; did you mean "private_key_file"?`,
		`{"name":"a","identity_file":"/etc/wireguard/wgmesh.key"}`: "identity_file: /etc/wireguard/wgmesh.key " +
			"is already the private_key_file",
	} {
		require.ErrorContains(t, must.Err(decode(t, task)), want)
	}
}

// machine is a host that has its id in a folder.
func machine(t *testing.T, dir string) keypair.Host {
	t.Helper()
	host := keypair.Host{MachineID: filepath.Join(dir, "machine-id"), ImageMarker: filepath.Join(dir, "marker")}
	require.NoError(t, os.WriteFile(host.MachineID, []byte("0123456789abcdef0123456789abcdef\n"), 0o600))
	return host
}

func TestPlan(t *testing.T) {
	dir := t.TempDir()
	host := machine(t, dir)
	o := Options{
		Name: "azure-1", PrivateKeyFile: dir + "/k/key", SealingKeyFile: dir + "/k/seal", IdentityFile: dir + "/k/id",
		Regenerate: "partial_idempotence",
	}

	p := must.Get(o.plan(t.Context(), host))(t)
	assert.True(t, p.Changed)
	assert.Equal(t, map[string]any{
		"name": "azure-1", "public_key": nil, "sealing_key": nil,
		"public": map[string]any{"name": "azure-1", "public_key": nil, "sealing_key": nil},
	}, p.Return, "what check mode returns on a new router")
	assert.NoDirExists(t, dir+"/k")

	out := must.Get(p.Apply(context.Background()))(t)
	assert.Len(t, out.Done, 3)
	p.Report(out.Return)
	assert.Len(t, p.Return["public_key"], 44)
	assert.Len(t, p.Return["sealing_key"], 1624)

	again := must.Get(o.plan(t.Context(), host))(t)
	assert.False(t, again.Changed)
	assert.Equal(t, p.Return, again.Return)
	assert.Equal(t, again.Before, again.After)

	o.PublicKey = p.Return["public_key"].(string)
	assert.False(t, must.Get(o.plan(t.Context(), host))(t).Changed)
	for _, other := range []func(o *Options){
		func(o *Options) { o.PublicKey = strings.Repeat("A", 43) + "=" },
		// Of two rotations one goes.
		func(o *Options) { o.PublicKey, o.Regenerate = strings.Repeat("A", 43)+"=", "always" },
		func(o *Options) { o.PrivateKeyFile += ".none" },
		func(o *Options) { o.PrivateKeyFile, o.Regenerate = o.PrivateKeyFile+".none", "never" },
	} {
		o := o
		other(&o)
		p, err := o.plan(t.Context(), host)
		want := " is not the key that the others were told: " +
			"another run has changed it since: run again when that has ended"
		if o.Regenerate == "never" { // the first key of a router: its guard took it back
			want = " was taken back before this run had ended: set mesh_confirm_timeout higher, and run again"
		}
		require.EqualError(t, err, o.PrivateKeyFile+want)
		assert.Empty(t, p, "nothing is known of a change that waits, which is another run's to settle")
	}
	o.Regenerate = "always"
	assert.True(t, must.Get(o.plan(t.Context(), host))(t).Changed)
	o.PublicKey, o.Regenerate = "", "partial_idempotence"

	text := must.Get(json.Marshal([]any{p.Before, p.After, p.Return, p.Warnings, out}))(t)
	key := must.Get(os.ReadFile(o.PrivateKeyFile))(t)
	assert.False(t, strings.Contains(string(text), string(key[:20])), "the private key shows")

	o.ImageBuild = true
	require.ErrorContains(t, must.Err(o.plan(t.Context(), host)), "image build")
}

// A router knows that a change that waits has given it another private key.
func TestRenewed(t *testing.T) {
	dir := t.TempDir()
	host := machine(t, dir)
	o := Options{
		Name: "azure-1", PrivateKeyFile: dir + "/key", SealingKeyFile: dir + "/seal", IdentityFile: dir + "/id",
		Regenerate: "always",
	}
	g := guard.Guard{Folder: dir + "/undo", Run: dir + "/run"}
	g.Launch = func(_ context.Context, id string) error {
		go func() { _ = g.Wait(t.Context(), id, func(context.Context) error { return nil }, func(string) {}) }()
		return nil
	}
	renewed := func() bool {
		t.Helper()
		have := must.Get(host.Observe(t.Context(), o.want()))(t)
		return must.Get(o.renewed(g, have))(t)
	}
	renew := func() {
		t.Helper()
		require.NoError(t, g.Arm(t.Context(), 60, guard.Change{Files: []string{o.PrivateKeyFile}}))
		p := must.Get(o.plan(t.Context(), host))(t)
		must.Get(p.Apply(t.Context()))(t)
	}
	assert.False(t, renewed(), "there is no key")
	renew()
	assert.False(t, renewed(), "it had none before")
	require.NoError(t, os.RemoveAll(g.Folder))
	assert.False(t, renewed(), "the change is confirmed")
	require.NoError(t, g.Arm(t.Context(), 60, guard.Change{Files: []string{o.PrivateKeyFile}}))
	assert.False(t, renewed(), "nothing was changed yet")
	renew()
	assert.True(t, renewed())
}
