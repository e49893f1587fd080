package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/route"
	"github.com/wgmesh/router/pkg/failover"
	"github.com/wgmesh/router/pkg/plan"
)

// Exit statuses besides 0, from sysexits.h.
const (
	usage     = 64 // EX_USAGE
	tryAgain  = 75 // EX_TEMPFAIL
	badConfig = 78 // EX_CONFIG: another start helps only when the file is another
)

// The pace of the daemon. What is down costs packets, so it looks often and tries
// again soon; BIRD answers in well below a millisecond.
const (
	look    = 100 * time.Millisecond
	again   = time.Minute
	attempt = 20 * time.Second
)

func pace() cloud.Pace { return cloud.Pace{First: 250 * time.Millisecond, Most: 15 * time.Second} }

const failoverHelp = `wgmesh-cloud failover keeps the cloud's route tables of this router's zone pointed
at this router, and those of another router of its site while that one is down.
systemd runs it as wgmesh-failover.service; stopping it changes nothing.

  wgmesh-cloud failover [FILE]          watch, until SIGTERM
  wgmesh-cloud failover --check [FILE]  look at FILE only
  wgmesh-cloud failover --show [FILE]   print which router holds which table

FILE is ` + plan.FailoverFile + ` unless it is named; the role routes writes it.
`

func failoverCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("wgmesh-cloud failover", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	check := flags.Bool("check", false, "")
	show := flags.Bool("show", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, failoverHelp)
		return 0
	case err == nil && flags.NArg() > 1:
		err = fmt.Errorf("%q is one argument too many", flags.Arg(1))
	case err == nil && *check && *show:
		err = errors.New("--check or --show, not both")
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "wgmesh-cloud failover: %v\n\n%s", err, failoverHelp)
		return usage
	}
	path := plan.FailoverFile
	if flags.NArg() == 1 {
		path = flags.Arg(0)
	}
	c, err := failover.Load(path)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "wgmesh-cloud failover: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return badConfig
	}
	tables := &siteTables{config: c}
	switch {
	case *check:
		return 0
	case *show:
		return showTables(ctx, tables, stdout, stderr)
	}
	eye := failover.NewEye(c)
	defer eye.Close()
	_, _ = fmt.Fprintf(stdout, "%s\n", describe(c))
	d := &failover.Daemon{
		Config: c, Look: eye.Look, Taker: tables, Out: stdout, Every: look, Again: again,
		Pace: pace(), Limit: attempt, Alive: alive(os.Getenv("NOTIFY_SOCKET")),
	}
	if os.Getenv("RUNTIME_DIRECTORY") != "" { // its unit started it
		d.Fails = func(failure string) { note(plan.FailoverFails, failure) }
		d.Rests = func(tables []string) { note(plan.FailoverRests, strings.Join(tables, " ")) }
		d.Fails("")
	}
	d.Run(ctx)
	return 0
}

// alive tells systemd each second that the daemon still looks, as sd_notify(3) does: without a word
// for its unit's WatchdogSec it is started anew. Nobody waits for a systemd that does not listen.
func alive(socket string) func() {
	var last time.Time
	return func() {
		if socket == "" || time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		c, err := net.Dial("unixgram", socket)
		if err != nil {
			return
		}
		_ = c.SetDeadline(last.Add(look))
		_, _ = io.WriteString(c, "WATCHDOG=1")
		_ = c.Close()
	}
}

// note writes a line where the status of the router reads it, over the one before: for that there is room on a
// full /run, too.
func note(path, line string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return
	}
	n, _ := f.WriteAt([]byte(line+"\n"), 0)
	_ = f.Truncate(int64(n))
	_ = f.Close()
}

// describe says in one line what is watched.
func describe(c failover.Config) string {
	line := fmt.Sprintf("%s keeps %s", c.Router, list(c.Tables, "no table of its own"))
	for _, p := range c.Partners {
		if len(p.Tables) > 0 {
			line += fmt.Sprintf("; %s is for %s", list(p.Tables, ""), p.Name)
		}
	}
	return line
}

func list(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}

// siteTables are the route tables of the router's site. The connection is made
// when it is needed first: at boot the network may come later than we do.
type siteTables struct {
	config failover.Config
	mu     sync.Mutex // of tables
	tables route.Tables
}

func (s *siteTables) connect(ctx context.Context) (route.Tables, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables != nil {
		return s.tables, nil
	}
	tables, err := aws.ConnectRoutes(ctx, aws.RouteOptions{Way: cloud.Way{
		API: s.config.APIEndpoint, Metadata: s.config.MetadataEndpoint, Pace: pace(),
	}})
	if err == nil {
		s.tables = tables
	}
	return tables, err
}

func (s *siteTables) want(tables ...string) route.Want {
	return route.Want{Mesh: s.config.Mesh, Tables: tables, Prefixes: s.config.Prefixes}
}

// Take points a table at this router. Whoever takes a partner's table back right after us is
// alive, so there it yields: two routers that only do not see each other would take it in turn.
func (s *siteTables) Take(ctx context.Context, table string, only []netip.Prefix) ([]string, []netip.Prefix, error) {
	tables, err := s.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	want := s.want(table)
	want.Yields = !slices.Contains(s.config.Tables, table)
	if only != nil {
		want.Prefixes = only
	}
	changed, err := route.Ensure(ctx, pace(), tables, want)
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Denied { // until the machine is given another role
		s.mu.Lock()
		s.tables = nil
		s.mu.Unlock()
	}
	return changed, route.Failed(err), err
}

// Gone lists the networks of a table whose route the cloud calls a black hole.
func (s *siteTables) Gone(ctx context.Context, table string) (prefixes []netip.Prefix, err error) {
	tables, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	have, err := tables.Observe(ctx, s.want(table))
	for _, r := range have {
		if r.Trouble == "blackhole" && r.Foreign == "" && r.Via != tables.Via() {
			prefixes = append(prefixes, r.Prefix)
		}
	}
	return prefixes, err
}

// showTables prints where the tables of the site go. One that cannot be read does not hide
// the others.
func showTables(ctx context.Context, s *siteTables, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	status := 0
	fail := func(err error) {
		_, _ = fmt.Fprintf(stderr, "wgmesh-cloud failover: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		status = tryAgain
	}
	tables, err := s.connect(ctx)
	if err != nil {
		fail(err)
		return status
	}
	owner := map[string]string{}
	for _, t := range s.config.Tables {
		owner[t] = s.config.Router
	}
	for _, p := range s.config.Partners {
		for _, t := range p.Tables {
			owner[t] = p.Name
		}
	}
	for _, t := range slices.Sorted(maps.Keys(owner)) {
		have, err := tables.Observe(ctx, s.want(t))
		if err == nil {
			_, err = io.WriteString(stdout, s.lines(t+" of "+owner[t], have, tables.Via()))
		}
		if err != nil {
			fail(err)
		}
	}
	return status
}

// lines says where the routes of one table go, and which are missing.
func (s *siteTables) lines(table string, have []route.Route, self string) (out string) {
	missing := slices.Clone(s.config.Prefixes)
	for _, r := range have {
		where := r.Via
		switch {
		case r.Foreign != "":
			where = r.Foreign
		case r.Via == self:
			where += ", this router"
		}
		if r.Trouble != "" {
			where += ", carries nothing: " + r.Trouble
		}
		out += fmt.Sprintf("%s: %s goes to %s\n", table, r.Prefix, where)
		missing = slices.DeleteFunc(missing, func(p netip.Prefix) bool { return p == r.Prefix })
	}
	for _, p := range missing {
		out += fmt.Sprintf("%s: %s has no route\n", table, p)
	}
	return out
}
