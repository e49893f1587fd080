//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wgmesh/router/internal/must"
	meshgate "github.com/wgmesh/router/modules/mesh_gate"
	meshplan "github.com/wgmesh/router/modules/mesh_plan"
	wgkeypair "github.com/wgmesh/router/modules/wg_keypair"
	wgpsk "github.com/wgmesh/router/modules/wg_psk"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/gate"
)

// TestLies has routers that were taken over answer whatever they like, to the real plays under the
// real Ansible, oldest and newest. No packet is sent: the routers are folders, and this program
// stands in for theirs. What computes (plan, keys, pre-shared keys, the gate) is the modules' own
// code; what would change a host is noted down.
//
// Three routers are honest. The oracle: their tunnels among each other are the same
// as without any lie, byte for byte; each of them ends its run; and a liar is named.
func TestLies(t *testing.T) {
	for _, part := range []struct {
		name  string
		cores []string // of Ansible
		run   func(*testing.T, *network)
	}{
		// The longest first: it asks one router after another, and the others fill the machine.
		{"callback", onBoth("newest"), liesInCallback},
		{"mesh", onBoth("newest"), liesInMesh},
		{"join", onBoth("newest"), liesInJoin},
		{"the router that calls back lies", onBoth("2.14"), callerLies},
		{"one lies and the victim is silent", onBoth("2.14"), liarAlone},
	} {
		for _, core := range part.cores {
			t.Run(part.name+" "+core, func(t *testing.T) {
				t.Parallel()
				part.run(t, newNetwork(t, core))
			})
		}
	}
}

// onBoth is the oldest and the newest Ansible where WGMESH_LIES is "all", else core alone.
func onBoth(core string) []string {
	if os.Getenv("WGMESH_LIES") == "all" {
		return []string{"2.14", "newest"}
	}
	return []string{core}
}

// The honest routers. There are liars before, between and after them, so that each
// lie is told to an initiator and to a responder.
var honest = []string{"office-1", "azure-1", "gcp-1"}

// victim is who a liar wants to be, or to harm.
const victim = "office-1"

// A network is a folder with a collection, an inventory and one folder a router.
type network struct {
	t      *testing.T
	dir    string
	core   string
	names  []string       // of all routers
	ids    map[string]int // of all routers
	liars  map[string]lie // by the name of the router
	partly bool           // not all honest routers are in the run
	more   string         // lines of the inventory, of hosts that are not routers
}

func newNetwork(t *testing.T, core string) *network {
	t.Helper()
	n := &network{t: t, dir: t.TempDir(), core: core, ids: map[string]int{}, liars: map[string]lie{}}
	at := map[int]string{2: honest[0], len(lies)/2 + 2: honest[1], len(lies) + 2: honest[2]}
	left := slices.Clone(lies)
	for id := 1; len(n.names) < len(lies)+3; id++ {
		name, found := at[id]
		if !found {
			name = fmt.Sprintf("liar-%d", id)
			n.liars[name], left = left[0], left[1:]
		}
		n.names, n.ids[name] = append(n.names, name), id
	}
	n.collection()
	return n
}

func (n *network) write(path, text string, mode fs.FileMode) {
	n.t.Helper()
	must.Write(n.t, filepath.Join(n.dir, path), text, mode)
}

// build is the name under which the action plugin looks for the program.
var build = strings.Repeat("0", 64)

// collection is ours but for the builds.
func (n *network) collection() {
	root := filepath.Join(n.dir, "ansible_collections/wgmesh/router")
	require.NoError(n.t, os.CopyFS(root, os.DirFS("../collection")))
	require.NoError(n.t, os.CopyFS(filepath.Join(root, "roles"), os.DirFS("../roles")))
	one := map[string]string{"sha256": build, "file": "none"}
	n.write("ansible_collections/wgmesh/router/plugins/plugin_utils/bin/manifest.json",
		text(map[string]any{"wgmesh": map[string]any{"linux_amd64": one, "linux_arm64": one}}), 0o644)
	galaxy := must.Get(os.ReadFile("../galaxy.yml"))(n.t)
	n.write("ansible_collections/wgmesh/router/galaxy.yml", string(galaxy), 0o644)
}

// site is the site of a router: each has its own.
func (n *network) site(name string) string { return "s" + fmt.Sprint(n.ids[name]) }

// routers makes the inventory and the folders of routers.
func (n *network) routers(names []string) {
	var sites, hosts strings.Builder
	for _, name := range names {
		id := n.ids[name]
		fmt.Fprintf(&sites, "        %s: {as: %d, networks: [10.%d.0.0/16]}\n", n.site(name), 64512+id, id)
		fmt.Fprintf(&hosts,
			"    %s: {mesh_id: %d, mesh_site: %s, mesh_endpoint: 192.0.2.%d, mesh_host_key: "+
				"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI%s, wgmesh_remote_dir: %s}\n",
			name, id, n.site(name), id, hostKey(id), n.folder(name))
	}
	// What is delegated to the controller has the folder of the controller.
	n.write("host_vars/localhost.yml", "wgmesh_remote_dir: "+n.folder("localhost")+"\n", 0o600)
	n.host("localhost")
	for _, name := range names {
		n.host(name)
	}
	n.write("inventory.yml",
		"routers:\n  vars:\n    ansible_connection: local\n    mesh_contact_timeout: 120\n    mesh_sites:\n"+
			sites.String()+"  hosts:\n"+hosts.String()+n.more, 0o600)
	require.NoError(n.t, os.Symlink(must.Get(os.Executable())(n.t), filepath.Join(n.dir, "ssh")))
}

// host makes the folder of a host, with its program.
func (n *network) host(name string) {
	require.NoError(n.t, os.MkdirAll(filepath.Join(n.folder(name), build), 0o700))
	require.NoError(n.t, os.Symlink(must.Get(os.Executable())(n.t), filepath.Join(n.folder(name), build, "wgmesh")))
}

// hostKey is 43 more characters of an SSH public key, another one for each id.
func hostKey(id int) string { return fmt.Sprintf("%043d", id) }

func (n *network) folder(name string) string { return filepath.Join(n.dir, "router", name) }

// lie has the liars lie from now on.
func (n *network) lie() {
	for name, l := range n.liars {
		n.write("router/"+name+"/lie", l.name, 0o600)
	}
}

// playbook runs a play of the collection, which may fail.
func (n *network) playbook(name string, args ...string) (string, error) {
	n.t.Helper()
	bin := must.Get(filepath.Abs("../build/venv-" + n.core + "/bin"))(n.t)
	require.FileExists(n.t, bin+"/ansible-playbook", "run .ci/venv")
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin+"/ansible-playbook",
		append([]string{"-i", filepath.Join(n.dir, "inventory.yml"), "wgmesh.router." + name}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":/usr/bin:/bin", "HOME="+n.dir,
		"ANSIBLE_COLLECTIONS_PATH="+n.dir, "ANSIBLE_NOCOLOR=1",
		"ANSIBLE_FORKS=8", "ANSIBLE_SSH_EXECUTABLE="+n.dir+"/ssh", "ANSIBLE_RETRY_FILES_ENABLED=0",
		"ANSIBLE_STDOUT_CALLBACK=default")
	cmd.Dir = n.dir
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if file := os.Getenv("WGMESH_LIES_OUTPUT"); file != "" { // to look at what was said
		_ = os.WriteFile(fmt.Sprintf("%s-%s-%d", file, name, len(args)), out, 0o600)
	}
	n.t.Logf("%s %s: %v, at most %d MB in a process", name, strings.Join(args, " "),
		time.Since(began).Round(100*time.Millisecond), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss/1000)
	return string(out), err
}

// green is playbook for what must not fail.
func (n *network) green(name string, args ...string) string {
	n.t.Helper()
	out, err := n.playbook(name, args...)
	require.NoError(n.t, err, tail(out))
	return out
}

// tunnels is everything that the honest routers have of their tunnels to each
// other: keys, pre-shared keys, records, and what wg_tunnel was told last.
func (n *network) tunnels() map[string]string {
	n.t.Helper()
	out := map[string]string{}
	for _, a := range honest {
		for _, file := range []string{"key", "seal"} {
			if text, err := os.ReadFile(filepath.Join(n.folder(a), file)); err == nil {
				out[a+" "+file] = string(text)
			}
		}
		var wanted struct {
			PublicKeys map[string]string `json:"public_keys"`
			Tunnels    []map[string]any  `json:"tunnels"`
		}
		if text, err := os.ReadFile(filepath.Join(n.folder(a), "wg_tunnel.json")); err == nil {
			require.NoError(n.t, json.Unmarshal(text, &wanted))
		}
		for _, b := range honest {
			if a == b {
				continue
			}
			i, j := min(n.ids[a], n.ids[b]), max(n.ids[a], n.ids[b])
			number := (j-1)*(j-2)/2 + i
			for _, end := range []string{".psk", ".json"} {
				text := must.Get(os.ReadFile(filepath.Join(n.folder(a), "psk", fmt.Sprint(number)+end)))(n.t)
				out[fmt.Sprintf("%s to %s %s", a, b, end)] = string(text)
			}
			out[a+" to "+b+" key"] = wanted.PublicKeys[b]
			for _, tunnel := range wanted.Tunnels {
				if tunnel["name"] == fmt.Sprintf("wg%d", number) {
					out[a+" to "+b+" tunnel"] = fmt.Sprint(tunnel)
				}
			}
		}
	}
	return out
}

// same compares, and shows no key.
func (n *network) same(before, after map[string]string) {
	n.t.Helper()
	for what, text := range before {
		if n.partly && strings.Contains(what, " to ") && strings.HasSuffix(what, " key") && after[what] == "" {
			continue // not in this run, so it keeps the key that it has
		}
		assert.True(n.t, text == after[what], "%s is not what it was", what)
		assert.NotEmpty(n.t, text, what)
	}
	assert.Len(n.t, after, len(before))
}

// calm looks that nothing in an output moves a terminal's cursor, or is an order to the agent of a CI.
func calm(t *testing.T, out string) {
	t.Helper()
	controls := regexp.MustCompile(
		`[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{202a}-\x{202e}\x{2066}-\x{2069}\x{200b}-\x{200f}]|##\w*\[`)
	if at := controls.FindStringIndex(out); at != nil {
		assert.Fail(t, "an order in the output", "%q", out[max(0, at[0]-60):min(len(out), at[1]+60)])
	}
}

func tail(out string) string { return out[max(0, len(out)-6000):] }

// failures are the lines of an output that say that something failed and have a
// host in them, those of the table at the end included.
func failures(out, host string) []string {
	return append(linesOf(out, `^(?:fatal|failed|\[ERROR\]).*\b`+host+`\b`),
		linesOf(out, `^(?:[a-z]+-\d+(?:,| -) )*`+host+`\b`)...)
}

// ends are the lines that say that a task of a host failed.
func ends(out, host string) []string { return linesOf(out, `^(?:fatal|failed): \[`+host+`[\] ]`) }

func linesOf(out, pattern string) []string {
	return regexp.MustCompile(`(?m)`+pattern+`.*`).FindAllString(out, -1)
}

// begin has the honest routers of all make their tunnels, which it returns.
func (n *network) begin() map[string]string {
	n.routers(n.names)
	n.green("mesh", "--limit", strings.Join(honest, ","))
	return n.tunnels()
}

func liesInMesh(t *testing.T, n *network) {
	before := n.begin()
	n.lie()
	out, err := n.playbook("mesh")
	assert.Error(t, err, "nobody lied")
	calm(t, out)
	n.same(before, n.tunnels())
	for _, name := range honest {
		for _, line := range ends(out, name) {
			assert.Regexp(t, `liar-\d+`, line, "%s ended red and names no liar", name)
		}
		assert.FileExists(t, filepath.Join(n.folder(name), "mesh_status.json"),
			"%s did not come to the end of its run", name)
		recap := regexp.MustCompile(`(?m)^` + name + `\s+: .*unreachable=0 .*$`).FindString(out)
		assert.NotEmpty(t, recap, "%s has no recap", name)
	}
	n.named(out, len(n.names)+1, func(l lie) bool { return l.mesh })
	assert.NotEmpty(t, linesOf(out, `it answered 25 MB in 838861\d lines: expected at most 16 MB and 20000 lines`))
	for _, r := range n.reached() {
		assert.Regexp(t, `^10\.`, r, "a liar had the others ask an address that is in no site")
	}
}

// reached are the addresses that honest routers were told to ask, of all routers,
// as mesh_status sees them.
func (n *network) reached() []string {
	var out []string
	for _, name := range honest {
		var asked struct {
			Reach   map[string][]string `json:"reach"`
			Tunnels []struct {
				Peer     string   `json:"peer"`
				Networks []string `json:"networks"`
			} `json:"tunnels"`
		}
		text := must.Get(os.ReadFile(filepath.Join(n.folder(name), "mesh_status.json")))(n.t)
		require.NoError(n.t, json.Unmarshal(text, &asked))
		for router, addresses := range asked.Reach {
			confined := false // by the module, which knows the networks of the peer's site
			for _, tunnel := range asked.Tunnels {
				confined = confined || tunnel.Peer == router && len(tunnel.Networks) > 0
			}
			if !confined {
				out = append(out, addresses...)
			}
		}
	}
	return out
}

// named looks that each liar whose lie says so is named in a line that says why. One
// that lies in envelopes has to send some: to a router with a higher id.
func (n *network) named(out string, id int, is func(lie) bool) {
	n.t.Helper()
	for name, l := range n.liars {
		if !is(l) || l.sealed != nil && n.ids[name] > id {
			continue
		}
		assert.NotEmpty(n.t, failures(out, name), "%s is not named: %s", name, l.name)
	}
}

func liesInJoin(t *testing.T, n *network) {
	joiner, before := honest[1], n.begin()
	for _, name := range n.names {
		n.gate(name)
	}
	n.lie()
	out, err := n.playbook("join", "-e", "wgmesh_self="+joiner, "-e", "wgmesh_identity_file=/no/key")
	calm(t, out)
	n.same(before, n.tunnels())
	if err != nil {
		for _, line := range ends(out, joiner) {
			assert.Regexp(t, `liar-\d+`, line, "%s ended red and names no liar", joiner)
		}
	}
	assert.FileExists(t, filepath.Join(n.folder(joiner), "mesh_status.json"),
		"%s did not come to the end of its run:\n%s", joiner, tail(out))
	n.named(out, n.ids[joiner], func(l lie) bool { return l.peer })
}

// gate is what a router's own join left on it, or a run in whose inventory some are absent.
func (n *network) gate(name string, absent ...string) {
	n.t.Helper()
	routers, sites := map[string]any{}, map[string]any{}
	for r, id := range n.ids {
		state := map[bool]string{true: "absent", false: "present"}[slices.Contains(absent, r)]
		routers[r] = map[string]any{
			"id": id, "site": n.site(r), "endpoint": fmt.Sprintf("192.0.2.%d", id), "state": state,
			"host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + hostKey(id),
		}
		sites[n.site(r)] = map[string]any{"as": 64512 + id, "networks": []any{fmt.Sprintf("10.%d.0.0/16", id)}}
	}
	p := player{name: name, dir: n.folder(name)}
	planned := p.run(ansible.New(meshplan.Plan, ansible.Unlocked()),
		map[string]any{"router": name, "routers": routers, "sites": sites}, nil)
	require.Nil(n.t, planned["failed"], planned["msg"])
	made := p.run(ansible.New(meshgate.Plan, ansible.Unlocked()),
		map[string]any{"plan": planned["plan"], "mesh": "routers"}, map[string]string{"directory": "gate"})
	require.Nil(n.t, made["failed"], made["msg"])
}

func liesInCallback(t *testing.T, n *network) {
	caller, before := honest[1], n.begin()
	n.lie()
	out, _ := n.playbook("callback", "--limit", caller)
	calm(t, out)
	n.same(before, n.tunnels())
	assert.FileExists(t, filepath.Join(n.folder(caller), "mesh_status.json"),
		"%s did not come to the end of its run:\n%s", caller, tail(out))
	n.named(out, n.ids[caller], func(l lie) bool { return l.peer })
}

// callerLies is C2: the router that calls back plans for its peers, and for hosts
// that are not routers.
func callerLies(t *testing.T, n *network) {
	n.more = fmt.Sprintf("databases:\n  hosts:\n    db-1: {ansible_connection: local, wgmesh_remote_dir: %s}\n",
		n.folder("db-1"))
	n.routers(append(slices.Clone(honest), "liar-1"))
	n.host("db-1")

	n.green("mesh")
	n.green("callback", "--limit", "liar-1")
	gates := map[string]string{}
	read := func(name, file string) string {
		return string(must.Get(os.ReadFile(filepath.Join(n.folder(name), "gate", file)))(t))
	}
	for _, name := range honest {
		for _, file := range []string{gate.StateFile, gate.AuthorizedKeys, gate.KnownHosts} {
			gates[name+" "+file] = read(name, file)
		}
	}
	before := n.tunnels()
	for _, l := range callerLie {
		n.write("router/liar-1/lie", l.name, 0o600)
		out, _ := n.playbook("callback", "--limit", "liar-1")
		calm(t, out)
		n.same(before, n.tunnels())
		for what, text := range gates {
			name, file, _ := strings.Cut(what, " ")
			assert.Equal(t, text, read(name, file), "%s: %s", l.name, what)
		}
		assert.NoFileExists(t, filepath.Join(n.folder("db-1"), "calls"),
			"%s: a host that is not a router was asked:\n%s", l.name, tail(out))
	}
}

// planForOthers is the caller's program: in what it plans for a peer the gate lets
// its own key in under another name.
func planForOthers(p player, a map[string]any) {
	plan := a["plan"].(map[string]any)
	if plan["router"].(map[string]any)["name"] == p.name {
		return
	}
	for _, peer := range plan["gate"].(map[string]any)["peers"].([]any)[:1] {
		peer.(map[string]any)["host_key"] = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + hostKey(666)
	}
}

// nameDatabase has a database as a peer in its own plan, for which it plans too.
func nameDatabase(p player, a map[string]any) {
	plan := a["plan"].(map[string]any)
	if p.args["router"] == p.name {
		plan["preshared_keys"] = append(plan["preshared_keys"].([]any), map[string]any{
			"number": 9, "peer": "db-1", "role": "initiator",
		})
	}
	if p.forged {
		plan["router"].(map[string]any)["name"] = "db-1"
	}
}

// liarAlone is C1: one router answers in the name of another one, which does not
// answer, and a third one asks.
func liarAlone(t *testing.T, n *network) {
	n.liars = map[string]lie{"liar-1": lies[0]}
	n.routers(append(slices.Clone(honest), "liar-1"))
	n.green("mesh")
	before := n.tunnels()
	n.partly = true
	n.lie()
	out, err := n.playbook("mesh", "--limit", honest[1]+",liar-1")
	assert.Error(t, err)
	n.same(before, n.tunnels())
	n.named(out, len(n.names)+1, func(lie) bool { return true })

	for _, name := range []string{honest[2], "liar-1"} {
		n.gate(name)
	}
	n.write("router/"+victim+"/off", "connect to host "+renders, 0o600)
	out, _ = n.playbook("join", "-e", "wgmesh_self="+honest[1], "-e", "wgmesh_identity_file=/no/key")
	assert.NoFileExists(t, filepath.Join(n.dir, "ran"), "what ssh said of a router was run here")
	n.same(before, n.tunnels())
	n.named(out, len(n.names)+1, func(lie) bool { return true })
}

// TestTakenBackAtOneEnd has new pre-shared keys stay at one end and be taken back at the
// other one, whose guard did not hear that they work: the next run makes them anew.
func TestTakenBackAtOneEnd(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, "newest")
	n.routers(honest)
	n.green("mesh")
	for _, back := range honest {
		before, psk := filepath.Join(n.dir, "before"), filepath.Join(n.folder(back), "psk")
		require.NoError(t, exec.CommandContext(t.Context(), "cp", "-a", psk, before).Run())
		n.green("mesh", "-e", "mesh_rotate_preshared_keys=true")
		require.NoError(t, os.RemoveAll(psk))
		require.NoError(t, os.Rename(before, psk))
		n.green("mesh")
		tunnels := n.tunnels()
		for _, a := range honest {
			for _, b := range honest {
				assert.True(t, tunnels[a+" to "+b+" .psk"] == tunnels[b+" to "+a+" .psk"], "%s to %s", a, b)
			}
		}
		out := n.green("mesh")
		for _, a := range honest {
			assert.Regexp(t, `(?m)^`+a+`\s+: .*changed=0 `, out)
		}
	}
}

// TestMain is the program of a router, or the ssh to one, when it is called so.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "wgmesh":
		dir := filepath.Dir(filepath.Dir(os.Args[0]))
		fmt.Fprintln(os.Stdout, play(filepath.Base(dir), dir, os.Args[1], nil))
	case "ssh": // which Ansible also asks what options it knows
		for _, arg := range os.Args {
			if name, found := strings.CutPrefix(arg, "HostKeyAlias="); found {
				off := filepath.Join(filepath.Dir(os.Args[0]), "router", name, "off")
				if _, err := os.Stat(off); err == nil { // it says what is in there, and ends as ssh does
					_ = syscall.Exec("/bin/sh", []string{"sh", "-c", `cat "$0" >&2; exit 255`, off}, os.Environ())
				}
				fmt.Fprintln(os.Stdout,
					play(name, filepath.Join(filepath.Dir(os.Args[0]), "router", name), "mesh_peer", &gateCaller))
				break
			}
		}
	default:
		m.Run()
	}
}

// renders is what an Ansible that takes it for a template runs.
const renders = `{{ lookup('pipe', 'touch "$HOME"/ran') }}`

// gateCaller is who joins.
var gateCaller = honest[1]

// A player is a router.
type player struct {
	name, dir string
	args      map[string]any
	forged    bool // the plan is for a host that it cannot plan for
}

// play answers one call. For a caller it is what `wgmesh gate` is.
func play(name, dir, module string, caller *string) (printed string) {
	raw, err := io.ReadAll(os.Stdin)
	if err == nil && caller != nil {
		raw, err = gate.Admit(raw, *caller)
	}
	p := player{name: name, dir: dir}
	if err == nil {
		err = json.Unmarshal(raw, &p.args)
	}
	if err != nil {
		return fmt.Sprintf(`{"failed": true, "msg": %q}`, err.Error())
	}
	calls, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(calls, module)
		_ = calls.Close()
	}
	if module == "mesh_steps" {
		return p.steps()
	}
	told, err := os.ReadFile(filepath.Join(dir, "lie"))
	if p.forged = err == nil && p.args["router"] == "db-1"; p.forged {
		p.args["router"] = victim
	}
	answer := p.answer(module)
	if err != nil || answer["failed"] == true {
		return text(answer)
	}
	return p.lie(string(told), module, answer)
}

// steps answers a call of several modules, each as if it were alone.
func (p player) steps() string {
	answers, failed := map[string]json.RawMessage{}, false
	known, _ := p.args["given"].(map[string]any)
	if known == nil {
		known = map[string]any{}
	}
	for _, step := range p.args["steps"].([]any) {
		s := step.(map[string]any)
		module := strings.TrimSuffix(s["module"].(string), "_info")
		if when, said := s["when"]; said && !holds(resolved(when, known)) || holds(resolved(s["unless"], known)) {
			continue
		}
		one := player{name: p.name, dir: p.dir, args: resolved(s["args"], known).(map[string]any)}
		answer := one.answer(module)
		printed := text(answer)
		if told, err := os.ReadFile(filepath.Join(p.dir, "lie")); err == nil && answer["failed"] != true {
			printed = one.lie(string(told), module, answer)
		}
		if !json.Valid([]byte(printed)) {
			return printed
		}
		answers[s["register"].(string)] = json.RawMessage(printed)
		known[s["register"].(string)] = answer
		if failed = answer["failed"] == true; failed {
			break
		}
	}
	return text(map[string]any{"changed": false, "failed": failed, "answers": answers})
}

// holds is a condition of a step: neither false nor empty.
func holds(value any) bool {
	return !slices.Contains([]string{"<nil>", "false", "False", "", "[]", "map[]"}, fmt.Sprint(value))
}

// resolved are options with what they refer to.
func resolved(value any, known map[string]any) any {
	switch v := value.(type) {
	case map[string]any:
		if reference, ok := v["$from"].(string); ok {
			var at any = known
			for key := range strings.SplitSeq(reference, ".") {
				at = at.(map[string]any)[key]
			}
			return at
		}
		out := map[string]any{}
		for key, one := range v {
			out[key] = resolved(one, known)
		}
		return out
	case []any:
		out := []any{}
		for _, one := range v {
			out = append(out, resolved(one, known))
		}
		return out
	}
	return value
}

func text(answer map[string]any) string {
	raw, _ := json.Marshal(answer)
	return string(raw)
}

// run runs a module of ours with its files in the router's folder.
func (p player) run(m ansible.Module, args map[string]any, files map[string]string) map[string]any {
	all := map[string]any{}
	maps.Copy(all, args)
	for option, file := range files {
		all[option] = filepath.Join(p.dir, file)
	}
	delete(all, "guard") // it would guard this machine
	var out bytes.Buffer
	m.Run(nil, strings.NewReader(text(all)), &out)
	var answer map[string]any
	_ = json.Unmarshal(out.Bytes(), &answer)
	return answer
}

var (
	keyFiles = map[string]string{"private_key_file": "key", "sealing_key_file": "seal", "identity_file": "id"}
	pskFiles = map[string]string{"private_key_file": "key", "sealing_key_file": "seal", "directory": "psk"}
)

func (p player) answer(module string) map[string]any {
	switch module {
	case "mesh_plan":
		files := map[string]string{}
		if holds(p.args["gate_file"]) {
			files["gate_file"] = "gate/" + gate.StateFile
		}
		return p.run(ansible.New(meshplan.Plan, ansible.Unlocked()), p.args, files)
	case "wg_keypair":
		p.meanwhile("keys")
		answer := p.run(ansible.New(wgkeypair.Plan, ansible.Unlocked()), p.args, keyFiles)
		if _, err := os.Stat(filepath.Join(p.dir, "renewed")); err == nil {
			answer["renewed"] = true
		}
		return answer
	case "wg_psk":
		return p.run(ansible.New(wgpsk.Plan, ansible.Unlocked()), p.args, pskFiles)
	case "mesh_gate":
		return p.run(ansible.New(meshgate.Plan, ansible.Unlocked()), p.args, map[string]string{"directory": "gate"})
	case "mesh_peer":
		return p.peer()
	}
	_ = os.WriteFile(filepath.Join(p.dir, module+".json"), []byte(text(p.args)), 0o600)
	answer := p.documented(module)
	switch module {
	case "bird_config":
		if networks, found := p.args["networks"].([]any); found { // else the floor
			answer["source_addresses"] = []any{strings.Replace(networks[0].(string), ".0.0/16", ".0.5", 1)}
		}
	case "mesh_status":
		answer["healthy"], answer["required_healthy"], answer["time"] = true, true, time.Now().Unix()
		answer["failover"] = map[string]any{"runs": false, "trouble": "", "rests": []any{}}
		answer["ways"] = []any{}
	}
	return answer
}

// documented is an answer of a module that has all that its documentation says, and nothing in it.
func (p player) documented(module string) map[string]any {
	answer := map[string]any{"changed": false}
	page, _ := filepath.Glob(filepath.Join(
		p.dir, "../../ansible_collections/wgmesh/router/plugins/modules", module+"*.py")) // or MODULE_info
	text, err := os.ReadFile(strings.Join(page, " "))
	m := regexp.MustCompile(`(?s)RETURN = r"""(.*?)"""`).FindSubmatch(text)
	if err != nil || m == nil {
		return answer
	}
	var keys map[string]returned
	_ = yaml.Unmarshal(m[1], &keys)
	for key, value := range keys {
		if value.Returned == "success" || value.Returned == "always" {
			answer[key] = map[string]any{
				"bool": false, "int": 0, "float": 0, "str": "",
				"list": []any{}, "dict": map[string]any{},
			}[value.Type]
		}
	}
	return answer
}

// meanwhile is what another run does just before.
func (p player) meanwhile(when string) {
	if run, err := os.ReadFile(filepath.Join(p.dir, "meanwhile"+when)); err == nil {
		_ = exec.CommandContext(context.Background(), "sh", "-c", string(run)).Run()
	}
}

// peer is mesh_peer without the interface.
func (p player) peer() map[string]any {
	caller := p.args["name"].(string)
	state, _ := p.args["state"].(string)
	p.meanwhile(state)
	out := p.run(ansible.New(wgkeypair.Plan, ansible.Unlocked()), map[string]any{"name": p.name}, keyFiles)
	answer := map[string]any{"changed": out["changed"], "router": p.name, "interface": "wg1", "public": out["public"]}
	door, err := gate.Read(filepath.Join(p.dir, "gate", gate.StateFile))
	if err != nil {
		return map[string]any{"failed": true, "msg": err.Error()}
	}
	link, err := door.Link(caller)
	if err != nil {
		return map[string]any{"failed": true, "msg": err.Error()}
	}
	args := map[string]any{
		"name": p.name, "mesh": door.Mesh, "tunnels": []any{link.PresharedKey}, "state": "sealed",
	}
	if state == "known" {
		args["known"] = true
		answer["known"] = p.run(ansible.New(wgpsk.Plan, ansible.Unlocked()), args, pskFiles)["known"]
		return answer
	}
	args["peers"] = []any{map[string]any{
		"name": caller, "public_key": p.args["public_key"], "sealing_key": p.args["sealing_key"],
	}}
	if link.PresharedKey.Role == "responder" {
		args["state"], args["envelopes"] = "opened", p.args["envelopes"]
	}
	out = p.run(ansible.New(wgpsk.Plan, ansible.Unlocked()), args, pskFiles)
	for _, key := range []string{"envelopes", "psks", "pending", "failed", "msg"} {
		if v, found := out[key]; found {
			answer[key] = v
		}
	}
	return answer
}
