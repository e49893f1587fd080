// Package meshstatus is the module mesh_status: whether the network works, as
// one router sees it, and what exactly does not.
package meshstatus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/atomicfile"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/preflight"
	"github.com/wgmesh/router/pkg/status"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	status.Request
	Router       string                  `json:"router"`
	Reach        map[string][]netip.Addr `json:"reach"`
	Unreachable  bool                    `json:"unreachable"`
	Wait         int                     `json:"wait"`   // seconds
	Settle       int                     `json:"settle"` // seconds
	Waited       int                     `json:"waited"` // seconds
	Pending      []plan.Pending          `json:"pending"`
	Ping         bool                    `json:"ping"`
	Expect       string                  `json:"expect"`
	MetricsFile  string                  `json:"metrics_file"`
	DrainWarn    int                     `json:"drain_warn"`     // seconds; 0: never
	KeyAgeWarn   int                     `json:"key_age_warn"`   // seconds; 0: never
	ImageAgeWarn int                     `json:"image_age_warn"` // seconds; 0: never
	Traffic      int                     `json:"traffic"`        // seconds
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.BFD, o.Ping, o.Expect, o.Socket = true, true, "healthy", birdc.Socket
}

// Validate refuses options that cannot be right on any router.
func (o Options) Validate() error {
	errs := []error{ansible.OneOf("expect", o.Expect, "healthy", "any")}
	for _, seconds := range []struct {
		option string
		value  int
	}{
		{"wait", o.Wait},
		{"settle", o.Settle},
		{"waited", o.Waited},
		{"drain_warn", o.DrainWarn},
		{"key_age_warn", o.KeyAgeWarn},
		{"image_age_warn", o.ImageAgeWarn},
	} {
		if seconds.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %d; expected 0 or more seconds", seconds.option, seconds.value))
		}
	}
	if o.Traffic < 0 || o.Traffic > 60 {
		errs = append(errs, fmt.Errorf("traffic: %d; expected 0 to 60 seconds", o.Traffic))
	}
	for _, name := range o.Accept {
		errs = append(errs, ansible.OneOf("accept", name, preflight.Names()...))
	}
	for i, t := range o.Tunnels {
		if t.Name == "" || t.Peer == "" || !t.Address.IsValid() {
			errs = append(errs, fmt.Errorf("tunnels[%d]: expected name, peer and address", i))
		}
	}
	for i, p := range o.Prefixes {
		if !p.Network.IsValid() {
			errs = append(errs, fmt.Errorf("prefixes[%d]: expected a network", i))
		}
	}
	return errors.Join(errs...)
}

// Plan looks at the network. It has nothing to apply.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	if err := ansible.ByRoot(); err != nil {
		return ansible.Plan{}, err
	}
	r := o.request()
	strangers := r.Confine()
	seen, report := status.Wait(ctx, r, time.Duration(o.Wait)*time.Second)
	look("/", &seen)
	o.lookAtBoot(ctx, r, &seen)
	p := ansible.Plan{Return: map[string]any{
		"ages":             status.Ages(seen),
		"failover":         status.FailoverOf(r, seen),
		"reboot_required":  seen.Reboot != "",
		"time":             seen.At.Unix(),
		"healthy":          report.Healthy(),
		"required_healthy": report.RequiredHealthy(),
		"problems":         report.Texts(),
		"troubles":         report.Troubles(),
		"sick":             report.Sick(),
		"tunnels":          status.Views(r, seen, report),
		"lines":            status.Table(r, seen, report),
		"source_addresses": status.Addresses(o.SourceNetworks),
		"notes":            status.Notes(r, seen),
		"drained":          seen.Drained.On(),
		"transit":          report.Transit,
		"drained_seconds":  0,
		"drained_why":      seen.Drained.Why,
	}}
	if ways := status.Ways(r, seen); ways != nil { // else nobody takes it for one without any
		p.Return["ways"] = ways
	}
	if seen.Drained.On() {
		p.Return["drained_seconds"] = int(max(0, seen.At.Sub(seen.Drained.Since).Seconds()))
	}
	if o.Traffic > 0 {
		traffic, err := status.ObserveTraffic(ctx, r, time.Duration(o.Traffic)*time.Second)
		if err != nil {
			return p, err
		}
		p.Return["forwarded"], p.Return["carried"] = traffic.Forwarded, traffic.Tunnels
	}
	p.Warnings = warnings(r, report, strangers)
	if o.MetricsFile != "" {
		host, _ := os.Hostname() // the label stays empty on a host without a name
		metrics := status.Metrics(cmp.Or(o.Router, host), r, seen, report)
		p.Record = func(context.Context) (map[string]any, error) { return o.record(metrics) }
	}
	if o.Expect == "healthy" && !report.Healthy() {
		return p, joined(report.Texts())
	}
	return p, nil
}

func warnings(r status.Request, report status.Report, strangers []status.Target) (out []string) {
	for _, w := range report.Warnings {
		out = append(out, w.String())
	}
	for _, s := range strangers {
		out = append(out, fmt.Sprintf(
			"router %s: its own address %s is in no network of its site, and is not asked: expected one that is; "+
				"if %s was not changed, take it for taken over", s.Name, s.Address, s.Name))
	}
	// Some unknown names are as it should be: a play has absent routers too.
	if unknown := r.Unknown(); len(unknown) > 0 && len(unknown) == len(r.Require) {
		out = append(out, fmt.Sprintf("require: expected routers that have a tunnel here, "+
			"%s have none, so nothing is required", strings.Join(unknown, ", ")))
	}
	return out
}

// record writes the file of metrics.
func (o Options) record(metrics []byte) (map[string]any, error) {
	err := atomicfile.Write(o.MetricsFile, metrics, 0o644)
	then := "the file of before stays"
	if folder := filepath.Dir(o.MetricsFile); errors.Is(err, fs.ErrNotExist) {
		err, then = fmt.Errorf("%s is missing", folder), "make that folder, or correct mesh_metrics_file"
	}
	if err == nil || o.Expect != "any" {
		return nil, err
	}
	// Who asks what is wrong wants to know it, on a full disk above all.
	return map[string]any{"warnings": []string{fmt.Sprintf("metrics_file: %v: %s", err, then)}}, nil
}

func (o Options) request() status.Request {
	r := o.Request
	r.NFTables, r.NoPing, r.Pending = status.NFTables, !o.Ping, map[string]string{}
	r.Settle, r.Waited = time.Duration(o.Settle)*time.Second, time.Duration(o.Waited)*time.Second
	r.DrainWarn = time.Duration(o.DrainWarn) * time.Second
	r.KeyWarn = time.Duration(o.KeyAgeWarn) * time.Second
	r.ImageWarn = time.Duration(o.ImageAgeWarn) * time.Second
	for _, p := range o.Pending {
		r.Pending[p.Peer] = p.Reason
	}
	var networks []netip.Prefix
	for _, p := range o.Prefixes {
		networks = append(networks, p.Network)
	}
	r.Floor = floor.Protocol
	if o.Unreachable {
		r.Refused = floor.Possible(networks)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Reach)) {
		for _, a := range o.Reach[name] {
			r.Reach = append(r.Reach, status.Target{Name: name, Address: a})
		}
	}
	return r
}

func joined(lines []string) error {
	errs := make([]error, len(lines))
	for i, line := range lines {
		errs[i] = errors.New(line)
	}
	return errors.Join(errs...)
}
