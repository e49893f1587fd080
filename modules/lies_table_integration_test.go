//go:build integration

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/wgmesh/router/pkg/seal"
)

// A lie is what a router that was taken over answers instead of the truth. Each
// change is made to the module's own answer.
type lie struct {
	name   string
	keys   func(p player, a, public map[string]any)   // where it tells its public keys
	sealed func(p player, a map[string]any, es []any) // where it returns envelopes
	plan   func(p player, a map[string]any)           // in what it plans
	bird   func(p player, a map[string]any)           // in what its BIRD says
	every  func(p player, a map[string]any)           // in every answer
	raw    func(answer string) string                 // what it prints instead of every answer
	mesh   bool                                       // the mesh play has to name the router
	peer   bool                                       // as a peer, so do the join and the callback
}

// told are lies about keys and envelopes that the asked host is refused for, or its
// tunnels are: everybody names it.
func told(name string, keys func(p player, a, public map[string]any)) lie {
	return lie{name: name, keys: keys, mesh: true, peer: true}
}

func sends(name string, change func(e map[string]any)) lie {
	return lie{name: name, mesh: true, peer: true, sealed: func(_ player, _ map[string]any, es []any) {
		for _, e := range es {
			change(e.(map[string]any))
		}
	}}
}

// set has a field of public be something else, also where wg_keypair says it again.
func set(field string, value any) func(player, map[string]any, map[string]any) {
	return func(_ player, a, public map[string]any) {
		public[field] = value
		if _, found := a[field]; found {
			a[field] = value
		}
	}
}

// gives has fields of an answer be something else: a name, a value, and so on.
func gives(fields ...any) func(player, map[string]any) {
	return func(_ player, a map[string]any) {
		for i := 0; i < len(fields); i += 2 {
			a[fields[i].(string)] = fields[i+1]
		}
	}
}

// stolen is what is public of another router, which a liar can know.
func stolen(p player, of, field string) any {
	file := map[string]string{"public_key": "key", "sealing_key": "seal"}[field]
	text, err := os.ReadFile(filepath.Join(filepath.Dir(p.dir), of, file))
	if err != nil {
		return "none"
	}
	if field == "public_key" {
		key, _ := seal.ParseWGPrivate([]byte(strings.TrimSpace(string(text))))
		return key.Public().String()
	}
	key, _ := seal.ParsePrivateKey([]byte(strings.TrimSpace(string(text))))
	return key.Public().String()
}

const esc = "\x1b[2J\x1b]0;owned\x07\r\u009b31m\u202eok: [office-1]\u2066\u200b##vso[task.x]y ##[z]"

// lies are the table of TestLies. Each is told to honest routers with a lower and with a higher id.
var lies = []lie{
	// Speaking in the name of another router (C1).
	told("calls itself the victim", set("name", victim)),
	told("calls itself the victim, in its result only", func(_ player, a, _ map[string]any) {
		for _, field := range []string{"name", "router"} {
			if _, found := a[field]; found {
				a[field] = victim
			}
		}
	}),
	told("has no name", set("name", nil)),
	told("has an empty name", set("name", "")),
	told("is called a template", set("name", renders)),
	sends("sends in the victim's name", func(e map[string]any) { e["from"] = victim }),
	sends("sends to the victim what is another's", func(e map[string]any) { e["to"] = "nobody" }),
	sends("sends for a tunnel of others", func(e map[string]any) { e["tunnel"] = 1 }),
	{name: "sends everything twice", mesh: true, peer: true, sealed: func(_ player, a map[string]any, es []any) {
		a["envelopes"] = append(es, es...)
	}},
	{name: "plans as the victim", mesh: true, plan: func(_ player, a map[string]any) {
		a["plan"].(map[string]any)["router"].(map[string]any)["name"] = victim
	}},
	// Keys that are none, or not its own (H1).
	told("a public key that is none", set("public_key", "x")),
	told("a public key that is a list", set("public_key", []any{1})),
	told("a public key with a line more", func(_ player, a, public map[string]any) {
		set("public_key", fmt.Sprint(public["public_key"])+"\n")(player{}, a, public)
	}),
	told("a public key of low order", set("public_key", "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=")),
	told("a public key of zeros", set("public_key", strings.Repeat("A", 43)+"=")),
	told("the key of who asks", func(p player, a, public map[string]any) {
		set("public_key", stolen(p, honest[1], "public_key"))(p, a, public)
	}),
	{name: "the key of the victim", keys: func(p player, a, public map[string]any) {
		set("public_key", stolen(p, victim, "public_key"))(p, a, public)
	}, mesh: true},
	told("a sealing key that is none", set("sealing_key", "x")),
	told("a sealing key that is a number", set("sealing_key", 7)),
	told("a sealing key of the right length that is none", set("sealing_key", strings.Repeat("/", 1621)+"8==")),
	{name: "the sealing key of the victim", keys: func(p player, a, public map[string]any) {
		set("sealing_key", stolen(p, victim, "sealing_key"))(p, a, public)
	}},
	{name: "a newer pre-shared key of another tunnel", peer: true, keys: func(_ player, a, public map[string]any) {
		a["known"] = []any{map[string]any{
			"tunnel": 1, "peer": victim, "psk_id": "x", "generation": 1, "peer_public_key": public["public_key"],
		}}
	}},
	told("a field more in what is public", set("networks", []any{"0.0.0.0/0"})),
	told("nothing that is public", func(_ player, a, _ map[string]any) { delete(a, "public") }),
	told("a list of what is public", func(_ player, a, public map[string]any) { a["public"] = []any{public} }),
	// Envelopes that are none, or not for now.
	sends("a short envelope", func(e map[string]any) { e["sealed"] = "AAAA" }),
	sends("an envelope that does not open", func(e map[string]any) {
		e["sealed"] = strings.Repeat("A", 1556) + "AA=="
	}),
	sends("an envelope that is a number", func(e map[string]any) { e["sealed"] = 1 }),
	sends("an envelope of generation 0", func(e map[string]any) { e["generation"] = 0 }),
	sends("an envelope of the last generation", func(e map[string]any) { e["generation"] = 1 << 60 }),
	sends("an envelope of half a generation", func(e map[string]any) { e["generation"] = 1.5 }),
	sends("a tunnel that is a text", func(e map[string]any) { e["tunnel"] = "1" }),
	sends("an envelope with a field more", func(e map[string]any) { e["endpoint"] = "203.0.113.9:1" }),
	{name: "envelopes that are an object", mesh: true, peer: true, sealed: func(_ player, a map[string]any, _ []any) {
		a["envelopes"] = map[string]any{}
	}},
	{name: "envelopes that are null", mesh: true, peer: true, sealed: func(_ player, a map[string]any, _ []any) {
		a["envelopes"] = nil
	}},
	{name: "keys held with others", mesh: true, peer: true, sealed: func(_ player, a map[string]any, _ []any) {
		a["psks"] = []any{map[string]any{"tunnel": 1, "peer": victim + esc, "psk_id": "x", "generation": 1}}
	}},
	// Results that are not of a module of ours (M7, L6).
	{name: "facts, that change where and how it is asked", every: func(_ player, a map[string]any) {
		a["ansible_facts"] = map[string]any{
			"mesh_endpoint": "203.0.113.9", "mesh_site": "s2", "mesh_group": "all",
			"ansible_control_path": "/tmp/x", "mesh_wait": -1,
			"__mesh_peers": []any{}, "__mesh_keypair": map[string]any{"public": map[string]any{"name": victim}},
		}
		a["_ansible_facts_cacheable"], a["add_host"], a["add_group"] = true, map[string]any{
			"host_name": "evil-1",
			"groups":    []any{"routers"},
		}, "routers"
	}},
	{name: "invocation, exceptions, deprecations", every: func(_ player, a map[string]any) {
		a["invocation"], a["exception"], a["_ansible_no_log"] = map[string]any{"module_args": esc}, esc, true
		a["deprecations"] = []any{map[string]any{"msg": esc, "version": "9"}}
		a["results"], a["item"], a["unreachable"], a["skipped"] = []any{1}, victim, true, true
	}},
	{name: "an exit status", every: gives("rc", 255)},
	{name: "a failure that is a text", mesh: true, peer: true, every: gives("failed", "yes")},
	{name: "a change that is an object", mesh: true, peer: true, every: gives("changed", map[string]any{"x": 1})},
	{name: "warnings that are not a list", mesh: true, peer: true, every: gives("warnings", 7)},
	{name: "warnings that move the cursor", every: gives("warnings", []any{esc, "a\nb"})},
	{name: "a failure that moves the cursor", mesh: true, peer: true, every: gives("failed", true, "msg", "no: "+esc)},
	{name: "a failure of 3 MB", mesh: true, peer: true, every: func(_ player, a map[string]any) {
		a["failed"], a["msg"] = true, strings.Repeat("x", 3<<20)
	}},
	// Addresses that all others would ping (H1).
	{name: "an address in another site", bird: gives("source_addresses", []any{"203.0.113.9", "10.2.0.1"})},
	{name: "an address that is none", mesh: true, bird: gives("source_addresses", []any{"-oProxyCommand=x"})},
	{name: "a thousand addresses", mesh: true, bird: func(_ player, a map[string]any) {
		var all []any
		for i := range 1000 {
			all = append(all, fmt.Sprintf("10.0.%d.%d", i/250, i%250))
		}
		a["source_addresses"] = all
	}},
	{name: "addresses that are an object", mesh: true, bird: gives("source_addresses", map[string]any{"a": 1})},
	// No answers.
	{name: "says nothing", mesh: true, peer: true, raw: func(string) string { return "" }},
	{name: "says rubbish", mesh: true, peer: true, raw: func(string) string { return esc + "{]" }},
	{name: "says a list", mesh: true, peer: true, raw: func(string) string { return "[1]" }},
	{name: "nests a million lists", mesh: true, peer: true, raw: func(string) string {
		return `{"plan": ` + strings.Repeat("[", 1<<20)
	}},
	{name: "says eight million lines", mesh: true, peer: true, raw: func(answer string) string {
		return strings.Repeat("ab\n", 8<<20) + answer
	}},
	{name: "says too many objects", mesh: true, peer: true, raw: func(string) string {
		return `{"plan": [` + strings.Repeat(`{"":0},`, 1<<18) + "0]}"
	}},
	{name: "says a number without end", mesh: true, peer: true, raw: func(string) string {
		return `{"changed": 1` + strings.Repeat("0", 1<<16) + "}"
	}},
	{name: "answers twice, the second time as the victim", mesh: true, peer: true, raw: func(answer string) string {
		return answer + "\n" + `{"changed": false, "public": {"name": "` + victim +
			`"}, "router": "` + victim + `", "plan": {}}`
	}},
}

// callerLie is what a router that calls back may do with what it plans (C2).
var callerLie = []lie{{name: "plans for others", plan: planForOthers}, {name: "names a database", plan: nameDatabase}}

// lie answers as the lie of this name has it.
func (p player) lie(name, module string, a map[string]any) (printed string) {
	for _, l := range append(lies, callerLie...) {
		if l.name != name {
			continue
		}
		if public, found := a["public"].(map[string]any); found && l.keys != nil && p.args["state"] != "peered" {
			l.keys(p, a, public)
		}
		if envelopes, found := a["envelopes"].([]any); found && l.sealed != nil {
			l.sealed(p, a, envelopes)
		}
		if l.plan != nil && module == "mesh_plan" {
			l.plan(p, a)
		}
		if l.bird != nil && module == "bird_config" {
			l.bird(p, a)
		}
		if l.every != nil {
			l.every(p, a)
		}
		if l.raw != nil {
			return l.raw(text(a))
		}
		return text(a)
	}
	panic("no such lie: " + name)
}
