// Package cloudroutes is the module cloud_routes: which router a cloud's route
// tables send the other sites' networks to.
package cloudroutes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/azure"
	"github.com/wgmesh/router/pkg/cloud/gcp"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// A Planner is the module with what it stands on.
type Planner struct {
	Pace  cloud.Pace
	DMI   fs.FS                   // what the firmware says about this machine
	Allow func(host string) error // which hosts may be called; nil: all
}

// Plan finds the tables and reads where the prefixes go.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	return Planner{Pace: cloud.DefaultPace(), DMI: os.DirFS("/sys/class/dmi/id")}.Plan(ctx, o)
}

// Plan finds the tables and reads where the prefixes go.
func (p Planner) Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	deadline := time.Now().Add(time.Duration(o.Timeout) * time.Second)
	within := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, deadline)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	name, err := p.which(o)
	if err != nil {
		return ansible.Plan{}, err
	}
	tables, err := p.connect(ctx, name, o)
	if err != nil {
		return ansible.Plan{}, err
	}
	want := o.want(name, tables.Via())
	first, notes := want, []string(nil) // what is there beside ours is looked for once
	if !want.Absent {
		first.Note = func(note string) { notes = append(notes, note) }
	}
	have, err := observe(ctx, tables, first)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta, refused := route.Diff(want, have)
	result := map[string]any{
		"cloud": name, "via": want.Via, "routes": shown(have), "verified": len(delta) == 0 && refused == nil,
	}
	if refused != nil { // nothing is written when a part of it cannot be
		return ansible.Plan{Return: result, Warnings: notes}, refused
	}
	plan := ansible.Plan{
		Before: shown(have), After: shown(route.After(have, delta)), Changed: len(delta) > 0,
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			ctx, cancel := within(ctx)
			defer cancel()
			done, err := route.Apply(ctx, p.Pace, tables, want, delta)
			out := ansible.Outcome{Done: done}
			if err != nil {
				return out, err
			}
			out.Return = map[string]any{"verified": true}
			now, err := tables.Observe(ctx, want) // with what only the cloud knows: names, warnings
			if err == nil {
				out.Return["routes"], out.Warnings = shown(now), route.Troubles(want, now)
			}
			return out, err
		},
		Rehearse: func(ctx context.Context) []string {
			ctx, cancel := within(ctx)
			defer cancel()
			return route.Rehearse(ctx, tables, want, delta)
		},
		Return: result, Warnings: notes,
	}
	if len(delta) == 0 {
		plan.Warnings = append(notes, route.Troubles(want, have)...)
	}
	return plan, nil
}

func observe(ctx context.Context, r route.Reader, w route.Want) ([]route.Route, error) {
	return r.Observe(ctx, w)
}

// shown are routes as a list that JSON does not turn into null.
func shown(routes []route.Route) []route.Route { return append([]route.Route{}, routes...) }

// Options are the options of the module, as its documentation has them.
type Options struct {
	Cloud            string         `json:"cloud"` // auto, or a cloud
	State            string         `json:"state"` // present or absent
	Mesh             string         `json:"mesh"`
	Prefixes         []netip.Prefix `json:"prefixes"`
	Tables           []string       `json:"tables"`
	Via              string         `json:"via"`      // "" for this router
	Region           string         `json:"region"`   // AWS
	Project          string         `json:"project"`  // GCP
	Priority         *int           `json:"priority"` // GCP; nil for Google's own default
	APIEndpoint      string         `json:"api_endpoint"`
	MetadataEndpoint string         `json:"metadata_endpoint"`
	Timeout          int            `json:"timeout"` // seconds
}

// usualPriority is what Google gives a route that says none.
const usualPriority = 1000

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() { o.Cloud, o.State, o.Timeout = "auto", "present", 300 }

// meshes are names that fit into the names of routes on Azure and GCP.
var meshes = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,26}[a-z0-9])?$`)

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	errs := []error{
		ansible.OneOf("cloud", o.Cloud, "auto", cloud.AWS, cloud.Azure, cloud.GCP),
		ansible.OneOf("state", o.State, "present", "absent"),
		ansible.Required("mesh", o.Mesh, "prefixes", o.Prefixes, "tables", o.Tables),
	}
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Mesh != "" && !meshes.MatchString(o.Mesh) {
		bad("mesh: expected up to 28 small letters, digits and hyphens, got %q", o.Mesh)
	}
	for i, p := range o.Prefixes {
		if p != p.Masked() {
			bad("prefixes[%d]: expected a network, got %s, which has bits beyond its length; did you mean %s?", i,
				p, p.Masked())
		}
	}
	for i, table := range o.Tables {
		if table == "" {
			bad("tables[%d]: expected the id of a route table, got nothing", i)
		}
	}
	if o.Timeout < 1 {
		bad("timeout: expected 1 second or more, got %d", o.Timeout)
	}
	for _, each := range [][2]string{{"api_endpoint", o.APIEndpoint}, {"metadata_endpoint", o.MetadataEndpoint}} {
		if each[1] != "" && !strings.HasPrefix(each[1], "https://") && !strings.HasPrefix(each[1], "http://") {
			bad("%s: expected a URL, got %q", each[0], each[1])
		}
	}
	if o.Priority != nil && (*o.Priority < 0 || *o.Priority > 65535) {
		bad("priority: expected a number from 0 to 65535, got %d", *o.Priority)
	}
	if o.Region != "" && o.Via == "" {
		bad("region: goes with via; a router asks its metadata service for both")
	}
	return errors.Join(errs...)
}

func (o Options) want(name, via string) route.Want {
	w := route.Want{Mesh: o.Mesh, Tables: o.Tables, Prefixes: o.Prefixes, Via: via, Absent: o.State == "absent"}
	if name == cloud.GCP {
		w.Priority = usualPriority
		if o.Priority != nil {
			w.Priority = *o.Priority
		}
	}
	return w
}

// which cloud: the one that was said, the one whose tables look so, or the one
// that runs this machine.
func (p Planner) which(o Options) (name string, err error) {
	switch {
	case o.Cloud != "auto":
		name = o.Cloud
	case strings.HasPrefix(o.Tables[0], "rtb-"):
		name = cloud.AWS
	case strings.HasPrefix(o.Tables[0], "/subscriptions/"):
		name = cloud.Azure
	case o.Project != "" || strings.HasPrefix(o.Tables[0], "projects/"):
		name = cloud.GCP
	default:
		if name, err = cloud.Detect(p.DMI); err != nil {
			return "", err
		}
	}
	for option, is := range map[string]struct {
		cloud string
		set   bool
	}{"region": {cloud.AWS, o.Region != ""}, "project": {cloud.GCP, o.Project != ""}, "priority": {
		cloud.GCP, o.Priority != nil,
	}} {
		if is.set && is.cloud != name {
			return "", fmt.Errorf("%s: goes with cloud: %s, got cloud: %s", option, is.cloud, name)
		}
	}
	return name, nil
}

func (p Planner) connect(ctx context.Context, name string, o Options) (route.Tables, error) {
	way := cloud.Way{API: o.APIEndpoint, Metadata: o.MetadataEndpoint, Pace: p.Pace, Allow: p.Allow}
	switch name {
	case cloud.AWS:
		return aws.ConnectRoutes(ctx, aws.RouteOptions{Via: o.Via, Region: o.Region, Way: way})
	case cloud.Azure:
		return azure.ConnectRoutes(ctx, azure.RouteOptions{Via: o.Via, Way: way})
	}
	return gcp.ConnectRoutes(ctx, gcp.RouteOptions{Via: o.Via, Project: o.Project, Way: way})
}
