//go:build lab

package proof_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestLies has root on three-1, whose program answers as its new owner likes, in the mesh play, in
// a join and in a callback. modules/lies_integration_test.go has the whole table of lies; here are
// those that took a tunnel once, on routers that run. The oracle is the same: nothing of the others
// changes, byte for byte, and the liar is named.
func TestLies(t *testing.T) {
	l := upFrom(t, "lies", "test/proof/testdata/dual.yml", "test/proof/testdata/join-image.yml")
	l.mesh(t)
	l.introduce(t, "test/proof/testdata/dual.yml")
	// A router lets the others in when it has joined itself. So the liar does, and the
	// others do not answer when two-1 joins.
	l.join(t, liar)
	l.in(t, liar, `for program in $(find /usr/local/libexec/wgmesh -type f -name wgmesh) /usr/local/bin/wgmesh; do
			cp $program $program.true
			printf '%s\n' '#!/bin/sh' 'answer=$("$0.true" "$@"); status=$?' \
				'if [ -e "/root/lie-$1" ]; then answer=$(printf "%s\n" "$answer" | sed -f "/root/lie-$1"); fi' \
				'printf "%s\n" "$answer"; exit $status' >$program.new
			chmod 755 $program.new; mv $program.new $program
		done`)
	l.steps(t, []step{
		{"mesh: it answers in the name of a router that does not answer", liarIsVictim},
		{"join: the same", liarIsVictimInJoin},
		{"mesh: a key of low order, facts, orders for the terminal, an address elsewhere", liarTellsRubbish},
		{"mesh: its tunnels are alive and keep their key", liarHasNewKey},
		{"callback: it plans for the others", liarPlans},
	})
}

const (
	liar = "three-1"
	low  = "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA="
	evil = "AAAAC3NzaC1lZDI1NTE5AAAAIEVJTEVJTEVJTEVJTEVJTEVJTEVJTEVJTEVJTEVJTEVJ" // an SSH key
)

// lies has the liar's answers to modules go through scripts of sed.
func (l lab) lies(t *testing.T, scripts map[string]string) {
	t.Helper()
	l.in(t, liar, "rm -f /root/lie-*")
	for module, script := range scripts {
		l.put(t, liar, "/root/lie-"+module, script+"\n")
	}
}

// unharmed runs something, and looks that nothing of the honest routers changed.
func (l lab) unharmed(t *testing.T, run func()) {
	t.Helper()
	others := l
	others.routers = []string{"one-1", "two-1"}
	before, sessions := others.states(t), others.sessions(t)
	run()
	others.unchanged(t, before)
	others.undisturbed(t, sessions)
}

func liarIsVictim(t *testing.T, l lab) {
	// Not in the plan, which it is refused for before.
	l.lies(t, map[string]string{"mesh_steps": `s/"public":{"name":"three-1"/"public":{"name":"one-1"/g`})
	l.unharmed(t, func() {
		_, out, err := l.play(t, "--limit", "two-1,three-1")
		assert.Error(t, err)
		assert.Regexp(t,
			`three-1: its answer to wg_keypair is not used: public.name: found .+one-1.+, expected three-1`, out)
		assert.Regexp(t, `two-1 +: ok=\d+ +changed=0 +unreachable=0 +failed=0`, out)
	})
}

func liarIsVictimInJoin(t *testing.T, l lab) {
	l.lies(t, map[string]string{"gate": `s/"name":"three-1"/"name":"one-1"/g; s/"router":"three-1"/"router":"one-1"/`})
	// A join writes its inventory and its gate, so only the tunnels are compared.
	const tunnels = "wg show all peers; wg show all preshared-keys | sha256sum; " +
		"sha256sum /etc/wireguard/wg*.conf /etc/wireguard/wgmesh-psk/*"
	joiner := l
	joiner.routers = []string{"two-1"}
	before := joiner.onRouters(t, tunnels)
	status, said := l.join(t, "two-1")
	assert.Equal(t, "75", status)
	assert.Contains(t, said, `three-1: its answer to mesh_peer is not used: router: found "one-1", expected three-1`)
	same(t, before, joiner.onRouters(t, tunnels))
}

func liarTellsRubbish(t *testing.T, l lab) {
	l.lies(t, map[string]string{
		"mesh_steps": `s|"public_key":"[^"]*"|"public_key":"` + low + `"|g; ` +
			`s|^{|{"ansible_facts":{"mesh_endpoint":"203.0.113.9","mesh_site":"one"},"warnings":["\\u001b[2Jx"],|; ` +
			`s|"source_addresses":\[[^]]*\]|"source_addresses":["203.0.113.9"]|`,
	})
	l.unharmed(t, func() {
		_, out, err := l.play(t)
		assert.Error(t, err)
		assert.Regexp(t, `three-1 \d routers? not a WireGuard public key, but a point of low order`, flat(out))
		assert.Contains(t, strings.Join(strings.Fields(out), " "),
			"router three-1: its own address 203.0.113.9 is in no network of its site")
		assert.NotContains(t, out, "\x1b")
	})
}

func liarHasNewKey(t *testing.T, l lab) {
	key := l.in(t, liar, "wg genkey | wg pubkey")
	l.waitHealthy(t)
	l.lies(t, map[string]string{"mesh_steps": `s|"public_key":"[^"]*"|"public_key":"` + key + `"|g`})
	l.unharmed(t, func() {
		_, out, err := l.play(t)
		assert.Error(t, err)
		assert.Regexp(t,
			`three-1 \d routers? it has a new public key, `+
				`and whoever has the one before is alive \(its (BFD session|last handshake) on wg[23] `, flat(out))
	})
}

// liarPlans has it plan as it likes for the routers that it calls back: what their gate
// lets in, and a host that is not a router.
func liarPlans(t *testing.T, l lab) {
	l.lies(t, nil)
	l.green(t, "callback", "--limit", liar)
	node := l.nodes[0]
	l.lies(t,
		map[string]string{
			"mesh_plan": `s#"gate":{[^}]*}#"gate":{"peers":[{"name":"two-1","host_key":"ssh-ed25519 ` + evil + `"}]}#
s#"preshared_keys":\[#"preshared_keys":[{"number":9,"peer":"` + node + `","role":"initiator"},#`,
		})
	l.unharmed(t, func() {
		_, out, _ := l.playbook(t, "callback", "--limit", liar)
		assert.NotContains(t, out, node, "a host that is not a router was asked")
	})
	assert.Contains(t, l.in(t, liar, "cat /etc/wgmesh/authorized_keys"), evil, "it did not lie")
}
