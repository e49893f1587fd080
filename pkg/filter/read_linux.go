package filter

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// patience is how long one tool may take to list its rules.
const patience = 5 * time.Second

// Read reads all filters of this host. A tool that is not here has made none.
func Read(ctx context.Context) Ruleset {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var unread []string
	list := func(name string, args ...string) []byte {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil && !errors.Is(err, exec.ErrNotFound) {
			mu.Lock()
			unread = append(unread, name)
			mu.Unlock()
		}
		return out
	}
	tools := []struct {
		name string
		six  bool
	}{{"iptables-nft-save", false}, {"ip6tables-nft-save", true}, {"iptables-legacy-save", false}, {
		"ip6tables-legacy-save", true,
	}}
	saved := make([][]byte, len(tools))
	var data, text []byte
	var all sync.WaitGroup
	all.Go(func() { data = list("nft", "-j", "list", "ruleset") })
	all.Go(func() { text = list("nft", "-a", "list", "ruleset") })
	for i, tool := range tools {
		all.Go(func() { saved[i] = list(tool.name) })
	}
	all.Wait()

	var out Ruleset
	theirs := map[string][]string{}
	for i, tool := range tools {
		part, tables := ParseIPTables(saved[i], tool.six)
		out.chains = append(out.chains, part.chains...)
		if i < 2 {
			theirs[map[bool]string{false: "ip", true: "ip6"}[tool.six]] = tables
		}
	}
	if len(data) > 0 {
		part, err := ParseNFT(data, text, func(family, table string) bool {
			return slices.Contains(theirs[family], table)
		})
		if err != nil {
			unread = append(unread, "nft")
		}
		out.chains = append(out.chains, part.chains...)
	}
	out.Unread = unread
	return out
}
