package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// The stub applies, too, where STUB_CLOUD names a folder: then a second plan can be
// looked at. It plays two things that AWS and its provider do: the source/destination
// check that an instance has is the one of its interface, and a plan for an instance
// whose configuration leaves it out wants it on (terraform-provider-aws#44768). And a
// security group has a rule once, see permit.
const check = "source_dest_check"

// replaced is what cannot be changed of a resource that is there.
var replaced = map[string]string{
	"aws_instance": "ami", "google_compute_instance": "boot_disk", "google_compute_route": "next_hop_instance",
}

func (*provider) ConfigureProvider(context.Context,
	*tfprotov5.ConfigureProviderRequest,
) (*tfprotov5.ConfigureProviderResponse, error) {
	if os.Getenv("STUB_CLOUD") == "" {
		return nil, fmt.Errorf("STUB_CLOUD names no folder: this program reaches no cloud")
	}
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p *provider) UpgradeResourceState(_ context.Context,
	r *tfprotov5.UpgradeResourceStateRequest,
) (*tfprotov5.UpgradeResourceStateResponse, error) {
	kind := p.kind(r.TypeName)
	state, err := r.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	value, err := tfprotov5.NewDynamicValue(kind, state)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &value}, err
}

func (p *provider) ReadResource(_ context.Context,
	r *tfprotov5.ReadResourceRequest,
) (*tfprotov5.ReadResourceResponse, error) {
	o, err := p.open(r.TypeName, r.CurrentState)
	if err != nil {
		return nil, err
	}
	if on, err := os.ReadFile(o.path()); err == nil {
		o.fields[check] = tftypes.NewValue(tftypes.Bool, string(on) == "true")
	}
	state, err := o.close()
	return &tfprotov5.ReadResourceResponse{NewState: state}, err
}

func (p *provider) PlanResourceChange(_ context.Context,
	r *tfprotov5.PlanResourceChangeRequest,
) (*tfprotov5.PlanResourceChangeResponse, error) {
	config, err := p.open(r.TypeName, r.Config)
	if err != nil {
		return nil, err
	}
	o, err := p.open(r.TypeName, r.ProposedNewState)
	if err != nil || o.gone() {
		return &tfprotov5.PlanResourceChangeResponse{PlannedState: r.ProposedNewState}, err
	}
	if r.TypeName == "aws_instance" && config.fields[check].IsNull() {
		o.fields[check] = tftypes.NewValue(tftypes.Bool, true)
	}
	prior, err := p.open(r.TypeName, r.PriorState)
	for _, a := range o.schema.Attributes {
		if prior.gone() && a.Computed && o.fields[a.Name].IsNull() && config.fields[a.Name].IsNull() {
			o.fields[a.Name] = tftypes.NewValue(a.Type, tftypes.UnknownValue)
		}
	}
	if err != nil {
		return nil, err
	}
	out := &tfprotov5.PlanResourceChangeResponse{UnsafeToUseLegacyTypeSystem: true}
	if name := replaced[r.TypeName]; name != "" && !prior.gone() && !prior.fields[name].Equal(o.fields[name]) {
		out.RequiresReplace = []*tftypes.AttributePath{tftypes.NewAttributePath().WithAttributeName(name)}
	}
	out.PlannedState, err = o.close()
	return out, err
}

func (p *provider) ApplyResourceChange(_ context.Context,
	r *tfprotov5.ApplyResourceChangeRequest,
) (*tfprotov5.ApplyResourceChangeResponse, error) {
	before, err := p.open(r.TypeName, r.PriorState)
	if err != nil {
		return nil, err
	}
	o, err := p.open(r.TypeName, r.PlannedState)
	if err != nil {
		return nil, err
	}
	if refused := permit(before, o); refused != nil {
		return &tfprotov5.ApplyResourceChangeResponse{NewState: r.PriorState, Diagnostics: refused}, nil
	}
	if o.gone() {
		return &tfprotov5.ApplyResourceChangeResponse{NewState: r.PlannedState}, nil
	}
	for _, a := range o.schema.Attributes {
		if !o.fields[a.Name].IsKnown() {
			o.fields[a.Name] = made(a.Type, r.TypeName+"."+a.Name)
		}
	}
	// EC2 takes no check when it makes an instance.
	if path := o.path(); path != "" && (r.TypeName == "aws_network_interface" || !before.gone()) {
		var on bool
		if err := o.fields[check].As(&on); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, fmt.Append(nil, on), 0o600); err != nil {
			return nil, err
		}
	}
	state, err := o.close()
	return &tfprotov5.ApplyResourceChangeResponse{NewState: state, UnsafeToUseLegacyTypeSystem: true}, err
}

func (p *provider) kind(name string) tftypes.Type { return p.schema.ResourceSchemas[name].ValueType() }

// An object is a resource in Terraform's state; it has no fields when there is none.
type object struct {
	name   string
	kind   tftypes.Type
	schema *tfprotov5.SchemaBlock
	fields map[string]tftypes.Value
}

func (p *provider) open(name string, value *tfprotov5.DynamicValue) (object, error) {
	o := object{name, p.kind(name), p.schema.ResourceSchemas[name].Block, nil}
	v, err := value.Unmarshal(o.kind)
	if err != nil || v.IsNull() {
		return o, err
	}
	return o, v.As(&o.fields)
}

func (o object) gone() bool { return o.fields == nil }

func (o object) close() (*tfprotov5.DynamicValue, error) {
	v := tftypes.NewValue(o.kind, nil)
	if !o.gone() {
		v = tftypes.NewValue(o.kind, o.fields)
	}
	value, err := tfprotov5.NewDynamicValue(o.kind, v)
	return &value, err
}

// path is where the check of an interface is kept, for its instance too; empty for
// everything else.
func (o object) path() string {
	var id string
	switch o.name {
	case "aws_network_interface":
		_ = o.fields["id"].As(&id)
	case "aws_instance":
		var blocks []tftypes.Value
		var first map[string]tftypes.Value
		if o.fields["primary_network_interface"].As(&blocks) == nil && len(blocks) == 1 && blocks[0].As(&first) == nil {
			_ = first["network_interface_id"].As(&id)
		}
	}
	if id == "" {
		return ""
	}
	return filepath.Join(os.Getenv("STUB_CLOUD"), filepath.Base(id))
}

// permit does what EC2 does for a rule of a security group: it refuses one that has the
// protocol, ports and network of another, whatever their descriptions say.
func permit(before, after object) []*tfprotov5.Diagnostic {
	if before.rule() == after.rule() {
		return nil
	}
	if path := after.rule(); path != "" {
		if err := os.Mkdir(path, 0o700); err != nil {
			return []*tfprotov5.Diagnostic{{
				Severity: tfprotov5.DiagnosticSeverityError,
				Summary:  "InvalidPermission.Duplicate: the specified rule " + filepath.Base(path) + " already exists",
			}}
		}
	}
	if path := before.rule(); path != "" {
		_ = os.Remove(path)
	}
	return nil
}

// rule is where a rule of a security group is kept, by what EC2 compares; empty for
// everything else.
func (o object) rule() string {
	if o.gone() || !strings.HasPrefix(o.name, "aws_vpc_security_group_") {
		return ""
	}
	is := []string{o.name}
	for _, name := range []string{"security_group_id", "ip_protocol", "from_port", "to_port", "cidr_ipv4"} {
		value := o.fields[name].String()
		var text string
		if o.fields[name].As(&text) == nil {
			if network, err := netip.ParsePrefix(text); err == nil {
				text = network.Masked().String() // EC2 does so, too
			}
			value = text
		}
		is = append(is, value)
	}
	return filepath.Join(os.Getenv("STUB_CLOUD"), strings.ReplaceAll(strings.Join(is, " "), "/", "_"))
}

var count int

// made is what the cloud says where nobody else does.
func made(kind tftypes.Type, name string) tftypes.Value {
	switch {
	case kind.Is(tftypes.String):
		count++
		return tftypes.NewValue(kind, fmt.Sprintf("%s-%d", name, count))
	case kind.Is(tftypes.Bool):
		return tftypes.NewValue(kind, false)
	case kind.Is(tftypes.Number):
		return tftypes.NewValue(kind, 0)
	}
	return tftypes.NewValue(kind, nil)
}
