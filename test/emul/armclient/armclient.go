// Package armclient leads a client of Azure's own to a stand-in on loopback.
package armclient

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// plain takes the TLS away on which Azure's client insists, also for the address
// of an operation.
type plain struct{}

func (plain) Do(r *http.Request) (*http.Response, error) {
	bare := r.Clone(r.Context())
	bare.URL.Scheme = "http"
	answer, err := http.DefaultClient.Do(bare)
	if err != nil {
		return nil, err
	}
	answer.Request = r
	const operation = "Azure-AsyncOperation"
	if url, found := strings.CutPrefix(answer.Header.Get(operation), "http:"); found {
		answer.Header.Set(operation, "https:"+url)
	}
	return answer, nil
}

// Token is a credential that a stand-in accepts.
type Token struct{}

// GetToken implements azcore.TokenCredential.
func (Token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token-99", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// To leads a client to the stand-in at url, which is plain HTTP.
func To(url string) *arm.ClientOptions {
	return &arm.ClientOptions{DisableRPRegistration: true, ClientOptions: policy.ClientOptions{
		Transport: plain{}, Retry: policy.RetryOptions{RetryDelay: time.Millisecond},
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: "https://login.invalid",
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Audience: "x", Endpoint: "https" + strings.TrimPrefix(url, "http")},
			},
		},
	}}
}
