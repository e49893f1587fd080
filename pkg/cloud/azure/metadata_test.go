package azure

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/pkg/cloud"
)

// updated is the metadata service while it is updated: a client is to ask again.
type updated struct {
	status int
	until  time.Time
}

func (u updated) RoundTrip(r *http.Request) (*http.Response, error) {
	a := &http.Response{Request: r, Header: http.Header{}, StatusCode: 200, Body: io.NopCloser(strings.NewReader(
		`{"access_token": "t", "expires_in": "86399", "compute": {"resourceId": "/vm"}}`))}
	if time.Now().Before(u.until) {
		a.StatusCode, a.Body = u.status, http.NoBody
	}
	return a, nil
}

func TestMetadataIsUpdated(t *testing.T) {
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
	ask := map[string]func(context.Context, *http.Client) error{
		"metadata": func(ctx context.Context, c *http.Client) error {
			_, err := newMetadata(c, cloud.Way{Pace: cloud.DefaultPace()}).about(ctx)
			return err
		},
		"token": func(ctx context.Context, c *http.Client) error {
			_, err := newMetadata(c, cloud.Way{Pace: cloud.DefaultPace()}).token(ctx, "https://api/")
			return err
		},
		"Azure's own client": func(ctx context.Context, c *http.Client) error {
			token, err := usual("https://api", c, cloud.DefaultPace())
			if err == nil {
				_, err = token(ctx, false)
			}
			return err
		},
	}
	for name, tt := range map[string]struct {
		ask    string
		status int
	}{
		"metadata":                 {"metadata", 410},
		"token":                    {"token", 410},
		"token not found":          {"token", 404},
		"Azure's client":           {"Azure's own client", 410},
		"Azure's client not found": {"Azure's own client", 404},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				c := &http.Client{Transport: updated{tt.status, time.Now().Add(MetadataUpdate)}}
				require.NoError(t, ask[tt.ask](ctx, c))
			})
		})
	}

	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := &http.Client{Transport: updated{410, time.Now().Add(time.Hour)}}
		m := newMetadata(c, cloud.Way{Pace: cloud.DefaultPace()})
		rest := &cloud.REST{HTTP: c, Pace: cloud.DefaultPace(), Base: "https://api", Explain: explain}
		rest.Token = func(ctx context.Context, _ bool) (string, error) { return m.token(ctx, "https://api/") }
		_, err := rest.Send(ctx, cloud.Request{Do: "read", Method: http.MethodGet, URL: "https://api/vm"})
		assert.EqualError(t, err, "token of the managed identity: HTTP 410; still so when `timeout` was over")
	})
}
