// Package azure sets IP forwarding on the network interfaces of an Azure VM.
//
// A network interface can only be written as a whole, and Azure drops what the
// body does not have. So the whole body that was read goes back with one field
// changed, as JSON that was never decoded further: fields of tomorrow's API
// survive. If-Match keeps it from undoing what another writer did meanwhile.
//
// And it writes single routes of route tables, see ConnectRoutes and the package route.
//
// The callers are the modules of the clouds.
package azure

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/wgmesh/router/pkg/cloud"
)

// Options say which VM, and how to reach Azure.
type Options struct {
	ResourceID string // "" for this machine, with its managed identity
	Interfaces []string
	cloud.Way
}

// A VM is one virtual machine.
type VM struct {
	id    string
	words []string
	api   string
	rest  *cloud.REST
}

// managers are the resource managers of Azure's clouds, as the metadata service names the clouds.
var managers = map[string]string{
	"AzurePublicCloud":       "https://management.azure.com",
	"AzureUSGovernmentCloud": "https://management.usgovcloudapi.net",
	"AzureChinaCloud":        "https://management.chinacloudapi.cn",
}

// Connect finds the VM's id and cloud, of this machine from its metadata
// service, and the credentials: the managed identity of this machine, or for a
// VM that was named what Azure's own tools take.
func Connect(ctx context.Context, o Options) (*VM, error) {
	v := &VM{id: o.ResourceID, words: o.Interfaces}
	var err error
	var about about
	if v.rest, about, err = connect(ctx, o.ResourceID == "", o.Way); err != nil {
		return nil, err
	}
	v.id = cmp.Or(v.id, about.Compute.ResourceID)
	v.api = v.rest.Base
	v.id = "/" + strings.Trim(v.id, "/")
	return v, checkID(v.id)
}

// connect reaches the resource manager: as this machine, about which it asks, or
// with what Azure's own tools take.
func connect(ctx context.Context, own bool, o cloud.Way) (rest *cloud.REST, this about, err error) {
	client := cloud.Client(o.Metadata, o.Allow)
	api := strings.TrimSuffix(o.API, "/")
	rest = &cloud.REST{HTTP: client, Pace: o.Pace, Explain: explain}
	if own {
		m := newMetadata(client, o)
		if this, err = m.about(ctx); err != nil {
			return nil, this, err
		}
		api = cmp.Or(api, managers[this.Compute.Environment])
		if api == "" {
			return nil, this, fmt.Errorf("api_endpoint: needed in the cloud %q, whose resource manager is not known",
				this.Compute.Environment)
		}
		rest.Token = func(ctx context.Context, _ bool) (string, error) { return m.token(ctx, api+"/") }
	} else {
		api = cmp.Or(api, managers["AzurePublicCloud"])
		if rest.Token, err = usual(api, client, o.Pace); err != nil {
			return nil, this, err
		}
	}
	rest.Base = api
	return rest, this, nil
}

// checkID refuses what is not a VM that has network interfaces of its own.
func checkID(id string) error {
	if slices.Contains(strings.Split(strings.ToLower(id), "/"), "virtualmachinescalesets") {
		return fmt.Errorf(
			"%s: it belongs to a scale set with uniform orchestration, whose interfaces cannot be written: "+
				"set enableIPForwarding in its networkInterfaceConfigurations", id)
	}
	if !isID(id, "microsoft.compute/virtualmachines") {
		return fmt.Errorf(
			"resource_id: expected "+
				"/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Compute/virtualMachines/NAME, got %q", id)
	}
	return nil
}

// isID reports whether it names a resource of that kind.
func isID(id, kind string) bool {
	p := strings.Split(strings.ToLower(id), "/")
	return len(p) == 9 && !strings.ContainsAny(id, "?#%\\ \t\r\n") && p[0] == "" &&
		p[1] == "subscriptions" && p[3] == "resourcegroups" && p[5] == "providers" && p[6]+"/"+p[7] == kind
}

type metadata struct {
	rest *cloud.REST
	base string
}

func newMetadata(client *http.Client, o cloud.Way) metadata {
	base := cmp.Or(strings.TrimSuffix(o.Metadata, "/"), "http://169.254.169.254")
	return metadata{&cloud.REST{HTTP: client, Pace: o.Pace, Explain: explainMetadata}, base}
}

// about is what the metadata service says about this machine.
type about struct {
	Compute struct {
		ResourceID  string `json:"resourceId"`
		VMID        string `json:"vmId"`
		Environment string `json:"azEnvironment"`
	} `json:"compute"`
	Network struct {
		Interfaces []struct {
			IPv4 struct {
				Addresses []struct {
					Private string `json:"privateIpAddress"`
				} `json:"ipAddress"`
			} `json:"ipv4"`
		} `json:"interface"`
	} `json:"network"`
}

// address is the machine's first one; "" when the answer has none.
func (a about) address() string {
	for _, i := range a.Network.Interfaces {
		for _, address := range i.IPv4.Addresses {
			return address.Private
		}
	}
	return ""
}

func (m metadata) about(ctx context.Context) (about, error) {
	var out about
	const do = "metadata of the instance"
	a, err := m.get(ctx, do, "/metadata/instance?api-version=2021-02-01")
	if err == nil {
		err = a.Decode(do, &out)
	}
	if err == nil && out.Compute.ResourceID == "" {
		err = fmt.Errorf("%s: no resourceId in the answer; run it on a VM of Azure, or name one", do)
	}
	return out, err
}

// token asks for a token of the managed identity. AZURE_CLIENT_ID says which,
// when the VM has several, as it does for Azure's own tools.
func (m metadata) token(ctx context.Context, audience string) (string, error) {
	var out struct {
		Token string `json:"access_token"`
	}
	const do = "token of the managed identity"
	path := "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + url.QueryEscape(audience)
	if id := os.Getenv("AZURE_CLIENT_ID"); id != "" {
		path += "&client_id=" + url.QueryEscape(id)
	}
	a, err := m.get(ctx, do, path)
	if err == nil {
		err = a.Decode(do, &out)
	}
	if err == nil && out.Token == "" {
		err = fmt.Errorf("%s: no access_token in the answer", do)
	}
	return out.Token, err
}

func (m metadata) get(ctx context.Context, do, path string) (cloud.Answer, error) {
	return m.rest.Send(ctx, cloud.Request{
		Do: do, Method: http.MethodGet, URL: m.base + path, Header: map[string]string{"Metadata": "true"},
	})
}

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

// usual finds credentials as Azure's own tools do: the environment, a workload identity, a managed
// identity, az login. In a cloud that is not known here AZURE_AUTHORITY_HOST says where to log in.
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
