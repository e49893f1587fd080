// Command stub is a Terraform provider that knows what arguments are called and
// take, and nothing else. Which provider it is follows from its own name,
// terraform-provider-NAME_vVERSION, and schemas/NAME.json. Terraform checks the
// examples against it; with mock_provider it never asks for more than the schema.
package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed schemas/*.json
var schemas embed.FS

func main() {
	if err := run(filepath.Base(os.Args[0])); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(program string) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(program, "terraform-provider-"), "_v")
	data, err := schemas.ReadFile("schemas/" + name + ".json")
	if err != nil {
		return fmt.Errorf("%s: expected to be called terraform-provider-NAME_vVERSION with a NAME of schemas/: %w",
			program, err)
	}
	snapshot, err := Parse(data)
	if err != nil {
		return fmt.Errorf("schemas/%s.json: %w", name, err)
	}
	return tf5server.Serve(snapshot.Address, func() tfprotov5.ProviderServer {
		return &provider{schema: snapshot.response()}
	})
}

// provider answers what Terraform asks before it plans. What is not written here
// would reach a cloud; it is nil, and asking for it ends the program.
type provider struct {
	tfprotov5.ProviderServer
	schema *tfprotov5.GetProviderSchemaResponse
}

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	metadata := &tfprotov5.GetMetadataResponse{ServerCapabilities: p.schema.ServerCapabilities}
	for name := range p.schema.ResourceSchemas {
		metadata.Resources = append(metadata.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	return metadata, nil
}

func (p *provider) GetProviderSchema(context.Context,
	*tfprotov5.GetProviderSchemaRequest,
) (*tfprotov5.GetProviderSchemaResponse, error) {
	return p.schema, nil
}

func (*provider) PrepareProviderConfig(_ context.Context,
	r *tfprotov5.PrepareProviderConfigRequest,
) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

// ValidateResourceTypeConfig refuses what Terraform leaves to the provider: a value
// for what only the provider says.
func (p *provider) ValidateResourceTypeConfig(_ context.Context,
	r *tfprotov5.ValidateResourceTypeConfigRequest,
) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	schema := p.schema.ResourceSchemas[r.TypeName]
	config, err := r.Config.Unmarshal(schema.ValueType())
	if err != nil {
		return nil, err
	}
	fields := map[string]tftypes.Value{}
	if err := config.As(&fields); err != nil {
		return nil, err
	}
	response := &tfprotov5.ValidateResourceTypeConfigResponse{}
	for _, a := range schema.Block.Attributes {
		if a.Required || a.Optional || fields[a.Name].IsNull() {
			continue
		}
		response.Diagnostics = append(response.Diagnostics, &tfprotov5.Diagnostic{
			Severity:  tfprotov5.DiagnosticSeverityError,
			Summary:   fmt.Sprintf("%s: %q cannot be set: it is for the provider to say", r.TypeName, a.Name),
			Attribute: tftypes.NewAttributePath().WithAttributeName(a.Name),
		})
	}
	return response, nil
}

func (*provider) GetResourceIdentitySchemas(context.Context,
	*tfprotov5.GetResourceIdentitySchemasRequest,
) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (*provider) StopProvider(context.Context,
	*tfprotov5.StopProviderRequest,
) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

// Snapshot is a file of schemas/, which the program snapshot wrote.
type Snapshot struct {
	Address   string           `json:"address"` // of the provider in the registry
	Version   string           `json:"version"` // of the provider
	Source    string           `json:"source"`  // the package that it was read from
	Provider  Block            `json:"provider"`
	Resources map[string]Block `json:"resources"`
}

// Block is the inside of a resource, or of a block in one. Nesting is list, set
// or single; MaxItems 0 is any number.
type Block struct {
	Attributes map[string]Attribute `json:"attributes"`
	Blocks     map[string]Block     `json:"blocks"`
	Nesting    string               `json:"nesting"`
	MinItems   int64                `json:"min_items"`
	MaxItems   int64                `json:"max_items"`
}

// Attribute is one argument, or, if Computed, what only the provider says. The
// provider may fill in an optional one that is left out.
type Attribute struct {
	Type     Type `json:"type"`
	Required bool `json:"required"`
	Optional bool `json:"optional"`
	Computed bool `json:"computed"`
}

// Type is a type in the words of `terraform providers schema -json`.
type Type struct{ tftypes.Type }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Type) UnmarshalJSON(data []byte) error {
	var name string
	if json.Unmarshal(data, &name) == nil {
		known := map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool}
		if t.Type = known[name]; t.Type == nil {
			return fmt.Errorf("type %q: expected string, number or bool", name)
		}
		return nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil || len(parts) != 2 {
		return fmt.Errorf("type %s: expected a name, or a list of a name and a type", data)
	}
	if err := json.Unmarshal(parts[0], &name); err != nil {
		return err
	}
	if name == "object" {
		var fields map[string]Type
		if err := json.Unmarshal(parts[1], &fields); err != nil {
			return err
		}
		object := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
		for field, kind := range fields {
			object.AttributeTypes[field] = kind.Type
		}
		t.Type = object
		return nil
	}
	var element Type
	if err := json.Unmarshal(parts[1], &element); err != nil {
		return err
	}
	switch name {
	case "list":
		t.Type = tftypes.List{ElementType: element.Type}
	case "set":
		t.Type = tftypes.Set{ElementType: element.Type}
	case "map":
		t.Type = tftypes.Map{ElementType: element.Type}
	default:
		return fmt.Errorf("type %q: expected list, set, map or object", name)
	}
	return nil
}

// Parse reads a snapshot. A field that is not known is an error.
func Parse(data []byte) (Snapshot, error) {
	var snapshot Snapshot
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return snapshot, decoder.Decode(&snapshot)
}

func (s Snapshot) response() *tfprotov5.GetProviderSchemaResponse {
	response := &tfprotov5.GetProviderSchemaResponse{
		ServerCapabilities: &tfprotov5.ServerCapabilities{GetProviderSchemaOptional: true},
		Provider:           &tfprotov5.Schema{Block: s.Provider.proto()},
		ResourceSchemas:    map[string]*tfprotov5.Schema{},
	}
	for name, block := range s.Resources {
		response.ResourceSchemas[name] = &tfprotov5.Schema{Block: block.proto()}
	}
	return response
}

func (b Block) proto() *tfprotov5.SchemaBlock {
	block := &tfprotov5.SchemaBlock{}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		a := b.Attributes[name]
		block.Attributes = append(block.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: a.Type.Type, Required: a.Required, Optional: a.Optional, Computed: !a.Required,
		})
	}
	nestings := map[string]tfprotov5.SchemaNestedBlockNestingMode{
		"list": tfprotov5.SchemaNestedBlockNestingModeList, "set": tfprotov5.SchemaNestedBlockNestingModeSet,
		"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		inner := b.Blocks[name]
		block.BlockTypes = append(block.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: inner.proto(), Nesting: nestings[inner.Nesting],
			MinItems: inner.MinItems, MaxItems: inner.MaxItems,
		})
	}
	return block
}
