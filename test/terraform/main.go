// Command stub is a Terraform provider that knows what arguments are called and
// take, and nothing else. Which provider it is follows from its own name,
// terraform-provider-NAME_vVERSION, and schemas/NAME.json. Terraform checks the
// examples against it; with mock_provider it never asks for more than the schema.
package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
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
