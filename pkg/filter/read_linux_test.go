package filter_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/filter"
)

// What nft -j and nft -a list: a table of ours, and one of nobody's.
const (
	ours = `{"chain": {"family": "inet", "table": "wgmesh", "name": "forward", "type": "filter", "hook": "forward",
		"prio": 0, "policy": "accept"}}`
	theirs = `{"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "type": "filter", "hook": "forward",
		"prio": 0, "policy": "drop"}}`
	oursText   = "table inet wgmesh { # handle 1\n}\n"
	theirsText = "table ip filter { # handle 2\n}\n"
	saved4     = "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"
)

// tools makes the commands that list filters; the PATH has nothing else but the shell.
func tools(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	t.Setenv("PATH", dir)
}

// nft is a script for it that does one thing for JSON, and another for text.
func nft(data, text string) string {
	return "case $1 in -j) " + data + ";; *) " + text + ";; esac"
}

func prints(text string) string { return "printf '%s' '" + text + "'" }

// A host is red where filters may be that nobody has seen, and nowhere else.
func TestUnread(t *testing.T) {
	const dead = "echo 'Error: boom' >&2; echo more >&2; exit 1"
	const noJSON = "echo 'Error: JSON support not compiled-in' >&2; exit 1"
	const notRoot = `echo 'Operation not permitted (you must be root)' >&2
		echo 'netlink: Error: cache initialization failed: Operation not permitted' >&2; exit 1`
	const noKernel = "echo 'netlink: Error: cache initialization failed: Invalid argument' >&2; exit 1"
	const notRootEither = "echo 'iptables-nft-save v1.8.9 (nf_tables): Could not fetch rule set generation id: " +
		"Permission denied (you must be root)' >&2; exit 4"
	const incompatible = "echo \"# Table \\`filter' is incompatible, use 'nft' tool.\""
	data := prints(`{"nftables": [` + ours + "," + theirs + "]}")
	text := prints(oursText + theirsText)
	unread := func(command, why string) []filter.Unread { return []filter.Unread{{Command: command, Why: why}} }
	const json = "nft -j list ruleset"
	for name, tt := range map[string]struct {
		scripts map[string]string
		want    []filter.Unread
		drops   bool
	}{
		"no tool at all":   {},
		"all is well":      {map[string]string{"nft": nft(data, text)}, nil, true},
		"nft fails":        {map[string]string{"nft": dead}, unread(json, "Error: boom"), false},
		"nft says nothing": {map[string]string{"nft": "exit 3"}, unread(json, "exit status 3"), false},
		"nft without root": {map[string]string{"nft": notRoot, "iptables-nft-save": notRootEither}, nil, false},
		"no nf_tables":     {map[string]string{"nft": noKernel}, nil, false},
		"nft prints no end": {
			map[string]string{"nft": nft(prints(`{"nftables": [`+ours), text)},
			unread(json, "its output is no JSON: unexpected EOF"), false,
		},
		"nft prints text": {
			map[string]string{"nft": text},
			unread(json, "its output is no JSON: invalid character 'a' in literal true (expecting 'r')"), false,
		},
		"nft has no JSON": {
			map[string]string{"nft": nft(noJSON, text)}, unread(json, "Error: JSON support not compiled-in"), false,
		},
		"nft has no JSON, and all is ours": {map[string]string{"nft": nft(noJSON, prints(oursText))}, nil, false},
		"nft has no JSON, and iptables shows the rest": {
			map[string]string{"nft": nft(noJSON, text), "iptables-nft-save": prints(saved4)}, nil, true,
		},
		"nft has no JSON, and iptables shows another table": {
			map[string]string{"nft": nft(noJSON, text), "ip6tables-nft-save": prints(saved4)},
			unread(json, "Error: JSON support not compiled-in"), false,
		},
		"nft has no JSON, and iptables shows a part": {
			map[string]string{"nft": nft(noJSON, text), "iptables-nft-save": incompatible + ";" + prints(saved4)},
			unread(json, "Error: JSON support not compiled-in"), true,
		},
		"nft fails, and iptables shows its tables": {
			map[string]string{"nft": dead, "iptables-nft-save": prints(saved4)}, unread(json, "Error: boom"), true,
		},
		"nft gives no words": {map[string]string{"nft": nft(data, dead)}, nil, true},
		"iptables-nft-save fails, and nft shows all": {
			map[string]string{"nft": nft(data, text), "iptables-nft-save": dead, "ip6tables-nft-save": dead}, nil, true,
		},
		"iptables-nft-save leaves it to nft": {
			map[string]string{"nft": nft(data, text), "iptables-nft-save": incompatible}, nil, true,
		},
		"iptables-nft-save leaves it to nft, which is not here": {
			map[string]string{"iptables-nft-save": incompatible},
			unread("iptables-nft-save", "it cannot show all tables, and nft is not here"), false,
		},
		"iptables-nft-save fails without nft": {
			map[string]string{"ip6tables-nft-save": dead}, unread("ip6tables-nft-save", "Error: boom"), false,
		},
		"legacy iptables of a kernel that has none": {
			map[string]string{"nft": nft(data, text), "iptables-legacy-save": dead, "ip6tables-legacy-save": dead},
			nil, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tools(t, tt.scripts)
			rules := filter.Read(t.Context())
			assert.Equal(t, tt.want, rules.Unread)
			assert.Equal(t, tt.drops, rules.Ask(packet("tcp"), filter.Forwarded).Verdict == filter.Drops)
		})
	}
}

// A kernel whose tables of legacy iptables cannot be looked for may have some.
func TestUnreadNames(t *testing.T) {
	names := filter.NamesOf[filter.Legacy4]
	t.Cleanup(func() { filter.NamesOf[filter.Legacy4] = names })
	filter.NamesOf[filter.Legacy4] = t.TempDir()
	tools(t, map[string]string{"nft": prints(`{"nftables": []}`)})
	unread := filter.Read(t.Context()).Unread
	require.Len(t, unread, 1)
	assert.Contains(t, unread[0].Why, "is a directory")

	tools(t, map[string]string{"nft": prints(`{"nftables": []}`), "iptables-legacy-save": prints(saved4)})
	rules := filter.Read(t.Context())
	assert.Empty(t, rules.Unread)
	assert.Equal(t, filter.Drops, rules.Ask(packet("tcp"), filter.Forwarded).Verdict)
}

// A tool that does not answer is ended, and so is the wait for what it left behind.
func TestUnreadInTime(t *testing.T) {
	tools(t, map[string]string{"nft": "/bin/sleep 30"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	assert.Equal(t, []filter.Unread{{Command: "nft -j list ruleset", Why: "its time ran out"}}, filter.Read(ctx).Unread)
	assert.Less(t, time.Since(began), 5*time.Second)
}
