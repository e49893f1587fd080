package azure

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/wgmesh/router/pkg/cloud"
)

// authorities are where people log in to the clouds other than the public one.
var authorities = map[string]string{
	managers["AzureUSGovernmentCloud"]: azcloud.AzureGovernment.ActiveDirectoryAuthorityHost,
	managers["AzureChinaCloud"]:        azcloud.AzureChina.ActiveDirectoryAuthorityHost,
}

// microsofts reports whether a place to log in is that of a cloud of Microsoft's.
func microsofts(host string) bool {
	return slices.ContainsFunc([]azcloud.Configuration{
		azcloud.AzurePublic, azcloud.AzureGovernment,
		azcloud.AzureChina,
	}, func(c azcloud.Configuration) bool {
		return strings.TrimSuffix(c.ActiveDirectoryAuthorityHost, "/") == strings.TrimSuffix(host, "/")
	})
}

// usual finds credentials as Azure's own tools do: the environment, a workload
// identity, a managed identity, az login. In a cloud that is not known here
// AZURE_AUTHORITY_HOST says where to log in.
func usual(api string, client *http.Client, pace cloud.Pace) (func(context.Context, bool) (string, error), error) {
	o := &azidentity.DefaultAzureCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: client}}
	if pace != cloud.DefaultPace() { // Azure's own one waits for a metadata service that is updated, which takes longer
		o.Retry = policy.RetryOptions{RetryDelay: pace.First, MaxRetryDelay: pace.Most}
	}
	if host := authorities[api]; host != "" {
		o.Cloud = azcloud.Configuration{
			ActiveDirectoryAuthorityHost: host,
			Services:                     map[azcloud.ServiceName]azcloud.ServiceConfiguration{},
		}
	} else if host := os.Getenv("AZURE_AUTHORITY_HOST"); host != "" && !microsofts(host) {
		// The public cloud, which would be asked about it, does not know it and may be out of reach.
		o.DisableInstanceDiscovery = true
	}
	const do = "Azure credentials"
	credential, err := azidentity.NewDefaultAzureCredential(o)
	if err != nil {
		return nil, &cloud.Error{Do: do, Err: err}
	}
	return func(ctx context.Context, _ bool) (string, error) {
		token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{api + "/.default"}})
		if err != nil {
			return "", &cloud.Error{
				Do: do, Err: err,
				Hint: "log in with az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
			}
		}
		if token.Token == "" {
			return "", fmt.Errorf("%s: an empty token", do)
		}
		return token.Token, nil
	}, nil
}
