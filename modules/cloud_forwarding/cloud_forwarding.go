// Package cloudforwarding is the module cloud_forwarding: whether a cloud lets
// an instance forward packets that are not its own.
package cloudforwarding

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/azure"
	"github.com/wgmesh/router/pkg/cloud/gcp"
)

// Options are the options of the module, as its documentation has them.
type Options struct {
	Cloud            string   `json:"cloud"` // auto, or a cloud
	State            string   `json:"state"` // enabled or disabled
	Interfaces       []string `json:"interfaces"`
	InstanceID       string   `json:"instance_id"` // AWS
	Region           string   `json:"region"`
	ResourceID       string   `json:"resource_id"` // Azure
	Project          string   `json:"project"`     // GCP
	Zone             string   `json:"zone"`
	Name             string   `json:"name"`
	APIEndpoint      string   `json:"api_endpoint"`
	MetadataEndpoint string   `json:"metadata_endpoint"`
	Timeout          int      `json:"timeout"` // seconds
}

// SetDefaults fills in what the task does not say.
func (o *Options) SetDefaults() {
	o.Cloud, o.State, o.Interfaces, o.Timeout = "auto", "enabled", []string{"all"}, 300
}

// Validate refuses options that cannot be right on any host.
func (o Options) Validate() error {
	errs := []error{
		ansible.OneOf("cloud", o.Cloud, "auto", cloud.AWS, cloud.Azure, cloud.GCP),
		ansible.OneOf("state", o.State, "enabled", "disabled"),
		ansible.Required("interfaces", o.Interfaces),
	}
	if o.Timeout < 1 {
		errs = append(errs, fmt.Errorf("timeout: expected 1 second or more, got %d", o.Timeout))
	}
	for _, each := range [][2]string{{"api_endpoint", o.APIEndpoint}, {"metadata_endpoint", o.MetadataEndpoint}} {
		name, url := each[0], each[1]
		if url != "" && !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
			errs = append(errs, fmt.Errorf("%s: expected a URL, got %q", name, url))
		}
	}
	errs = append(errs, ansible.Exclusive("instance_id", o.InstanceID, "resource_id", o.ResourceID, "name", o.Name))
	for _, id := range []struct{ option, cloud, value string }{
		{"instance_id", cloud.AWS, o.InstanceID},
		{"resource_id", cloud.Azure, o.ResourceID},
		{"name", cloud.GCP, o.Name},
	} {
		if id.value != "" && o.Cloud != "auto" && o.Cloud != id.cloud {
			errs = append(errs, fmt.Errorf("%s: goes with cloud: %s, got cloud: %s", id.option, id.cloud, o.Cloud))
		}
	}
	if set := (o.Project != ""); set != (o.Zone != "") || set != (o.Name != "") {
		errs = append(errs, errors.New("project, zone, name: all three of them or none"))
	}
	if o.Region != "" && o.InstanceID == "" {
		errs = append(errs, errors.New("region: goes with instance_id; a router asks its metadata service for both"))
	}
	return errors.Join(errs...)
}

// instance is one VM of a cloud. Planning gets its reader alone.
type instance interface {
	cloud.Reader
	cloud.Writer
}

// A Planner is the module with what it stands on.
type Planner struct {
	Pace  cloud.Pace
	DMI   fs.FS                   // what the firmware says about this machine
	Allow func(host string) error // which hosts may be called; nil: all
}

// Plan finds the instance and reads what it may forward.
func Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	return Planner{Pace: cloud.DefaultPace(), DMI: os.DirFS("/sys/class/dmi/id")}.Plan(ctx, o)
}

// Plan finds the instance and reads what it may forward.
func (p Planner) Plan(ctx context.Context, o Options) (ansible.Plan, error) {
	deadline := time.Now().Add(time.Duration(o.Timeout) * time.Second)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	name, err := p.which(o)
	if err != nil {
		return ansible.Plan{}, err
	}
	vm, err := p.connect(ctx, name, o)
	if err != nil {
		return ansible.Plan{}, err
	}
	have, err := observe(ctx, vm)
	if err != nil {
		return ansible.Plan{}, err
	}
	delta := cloud.Diff(o.State == "enabled", have)
	return ansible.Plan{
		Before: have, After: cloud.After(have, delta), Changed: len(delta) > 0,
		Apply: func(ctx context.Context) (ansible.Outcome, error) {
			ctx, cancel := context.WithDeadline(ctx, deadline)
			defer cancel()
			done, err := cloud.Apply(ctx, vm, delta)
			if err != nil {
				return ansible.Outcome{Done: done}, err
			}
			return ansible.Outcome{
				Done:   done,
				Return: map[string]any{"verified": true, "interfaces": cloud.After(have, delta)},
			}, nil
		},
		Rehearse: func(ctx context.Context) []string {
			ctx, cancel := context.WithDeadline(ctx, deadline)
			defer cancel()
			return cloud.Rehearse(ctx, vm, delta)
		},
		Return: map[string]any{
			"cloud": name, "instance": vm.Instance(), "interfaces": have,
			"verified": len(delta) == 0, "restart_required": false,
		},
	}, nil
}

func observe(ctx context.Context, r cloud.Reader) ([]cloud.Interface, error) { return r.Observe(ctx) }

// which cloud: the one that was said, the one whose id was given, or the one
// that runs this machine.
func (p Planner) which(o Options) (string, error) {
	switch {
	case o.Cloud != "auto":
		return o.Cloud, nil
	case o.InstanceID != "":
		return cloud.AWS, nil
	case o.ResourceID != "":
		return cloud.Azure, nil
	case o.Name != "":
		return cloud.GCP, nil
	}
	return cloud.Detect(p.DMI)
}

func (p Planner) connect(ctx context.Context, name string, o Options) (instance, error) {
	way := cloud.Way{API: o.APIEndpoint, Metadata: o.MetadataEndpoint, Pace: p.Pace, Allow: p.Allow}
	switch name {
	case cloud.AWS:
		return aws.Connect(ctx, aws.Options{
			InstanceID: o.InstanceID, Region: o.Region, Interfaces: o.Interfaces, Way: way,
		})
	case cloud.Azure:
		return azure.Connect(ctx, azure.Options{ResourceID: o.ResourceID, Interfaces: o.Interfaces, Way: way})
	}
	if !slices.Equal(o.Interfaces, []string{"all"}) {
		return nil, errors.New(
			"interfaces: on GCP forwarding is a property of the whole instance; leave interfaces out")
	}
	return gcp.Connect(ctx, gcp.Options{Project: o.Project, Zone: o.Zone, Name: o.Name, Way: way})
}
