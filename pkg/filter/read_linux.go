package filter

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wgmesh/router/pkg/program"
)

const patience = 15 * time.Second

// The commands that list the rules.
const (
	nftData = iota
	nftText
	nft4
	nft6
	legacy4
	legacy6
)

var commands = []string{
	"nft -j list ruleset", "nft -a list ruleset", "iptables-nft-save", "ip6tables-nft-save",
	"iptables-legacy-save", "ip6tables-legacy-save",
}

// families are those of the tables of iptables-nft-save, and a space.
var families = map[int]string{nft4: "ip ", nft6: "ip6 "}

// namesOf have the tables of legacy iptables that the kernel has.
var namesOf = map[int]string{legacy4: "/proc/net/ip_tables_names", legacy6: "/proc/net/ip6_tables_names"}

// Read reads all filters of this host. A tool that is not here has made none.
func Read(ctx context.Context) (out Ruleset) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said, why, unseen := make([][]byte, len(commands)), make([]string, len(commands)), map[int]error{}
	var all sync.WaitGroup
	for i, command := range commands {
		if path := namesOf[i]; path != "" {
			names, err := os.ReadFile(path)
			if err == nil && len(names) == 0 || errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if unseen[i] = err; os.Geteuid() != 0 {
				unseen[i] = nil // nor do the others show anything without root
			}
		}
		all.Go(func() { said[i], why[i] = list(ctx, command) })
	}
	all.Wait()

	var saved Ruleset
	shown := map[string]bool{}
	for i := nft4; i <= legacy6; i++ {
		part, tables := ParseIPTables(said[i], i == nft6 || i == legacy6)
		out.Named = append(out.Named, part.Named...)
		if i >= legacy4 {
			out.chains = append(out.chains, part.chains...)
			out.unread(i, why[i])
			switch {
			case why[i] == absent && unseen[i] != nil:
				out.Unread = append(out.Unread, Unread{"cat " + namesOf[i], unseen[i].Error()})
			case why[i] == absent:
				out.Absent = append(out.Absent, commands[i])
			}
			continue
		}
		saved.chains = append(saved.chains, part.chains...)
		if bytes.Contains(said[i], []byte("use 'nft' tool")) {
			why[i] = "it cannot show all tables, and nft is not here"
		}
		for _, table := range tables {
			shown[families[i]+table] = why[i] == ""
		}
	}
	ruleset, err := ParseNFT(said[nftData], said[nftText], saved)
	out.Named, out.Flowtables = append(out.Named, ruleset.Named...), ruleset.Flowtables
	switch {
	case err == nil: // nft shows what iptables-nft-save does not
		out.chains = append(out.chains, ruleset.chains...)
		return out
	case why[nftData] == "":
		why[nftData] = err.Error()
	}
	out.chains = append(out.chains, saved.chains...)
	switch {
	case why[nftData] == absent:
		out.unread(nft4, why[nft4])
		out.unread(nft6, why[nft6])
	case why[nftText] != "" || others(said[nftText], shown):
		out.unread(nftData, why[nftData])
	}
	return out
}

func (r *Ruleset) unread(i int, why string) {
	if why != "" && why != absent {
		r.Unread = append(r.Unread, Unread{commands[i], why})
	}
}

// others reports whether nft lists a table that is not shown, and is not one of ours, which
// are compared with their files.
func others(text []byte, shown map[string]bool) bool {
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) > 2 && f[0] == "table" && slices.Contains([]string{"ip", "ip6", "inet", "netdev"}, f[1]) &&
			!shown[f[1]+" "+f[2]] && !strings.HasPrefix(f[2], "wgmesh") {
			return true
		}
	}
	return false
}

// absent is why a tool that is not installed, or may not look, says nothing.
const absent = "not here"

// harmless is what tools say without root, and where the kernel has no nftables.
var harmless = []string{
	"not permitted", "you must be root", "Protocol not supported", "Operation not supported", "Invalid argument",
}

// Harmless reports whether what a tool says is that there can be no filter.
func Harmless(why string) bool {
	return slices.ContainsFunc(harmless, func(s string) bool { return strings.Contains(why, s) })
}

func list(ctx context.Context, command string) (out []byte, why string) {
	f := strings.Fields(command)
	said, err := program.Call{Name: f[0], Args: f[1:], Limit: patience}.Run(ctx)
	var failed *program.Failure
	switch {
	case err == nil:
		return []byte(said.Out), ""
	case ctx.Err() != nil:
		return nil, "its time ran out"
	case !errors.As(err, &failed):
		return nil, absent
	}
	why, _, _ = strings.Cut(said.Err, "\n")
	if why == "" {
		why = failed.Err.Error()
	}
	if Harmless(why) {
		return nil, absent
	}
	return nil, why
}
