package aws_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/fakecloud/fuzz"
	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
	"github.com/wgmesh/router/pkg/cloud/route"
)

// A served server answers every request with the same, but for one about a token.
type served struct {
	fuzz.Always
	url string
}

func serve(f *testing.F) *served {
	a := &served{}
	a.Status = http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/api/token") {
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = w.Write([]byte("t"))
			return
		}
		a.ServeHTTP(w, r)
	}))
	f.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s",
		"AWS_CA_BUNDLE": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL,
	} {
		f.Setenv(name, value)
	}
	a.url = s.URL
	return a
}

// run has do look at any answer, also at one that refuses.
func (a *served) run(f *testing.F, do func(ctx context.Context, t *testing.T, answer string)) {
	f.Fuzz(func(t *testing.T, answer string, refused bool) {
		if strings.Contains(strings.ToLower(answer), "nexttoken") {
			return // asks for page after page, until ctx ends
		}
		a.Body, a.Status = []byte(answer), http.StatusOK
		if refused {
			a.Status = http.StatusBadRequest
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a throttle is waited out
		defer cancel()
		do(ctx, t, answer)
	})
}

// Whatever EC2 answers, what comes out belongs to the instance, or is an error on one line.
func FuzzDescribe(f *testing.F) {
	item := `<item><networkInterfaceId>eni-1</networkInterfaceId><sourceDestCheck>true</sourceDestCheck>` +
		`<attachment><instanceId>i-1</instanceId><deviceIndex>0</deviceIndex></attachment></item>`
	set := func(s string) string {
		return `<DescribeNetworkInterfacesResponse><networkInterfaceSet>` + s +
			`</networkInterfaceSet></DescribeNetworkInterfacesResponse>`
	}
	f.Add(set(item), false)
	f.Add(set(strings.ReplaceAll(item, "i-1", "i-2")), false)
	f.Add(set("<item/><item><attachment/></item>"), false)
	f.Add(set("<item><sourceDestCheck>perhaps</sourceDestCheck></item>"), false)
	f.Add(`<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>a&#10;b</Message></Error></Errors>`+
		`<RequestID>r</RequestID></Response>`, true)
	f.Add(`<html>proxy</html>`, true)
	f.Add(``, true)
	a := serve(f)
	i, err := aws.Connect(f.Context(), aws.Options{
		InstanceID: "i-1", Region: "eu-west-1", Interfaces: []string{"all"},
		Way: cloud.Way{API: a.url, Metadata: a.url, Pace: fuzz.Quick},
	})
	assert.NoError(f, err)
	a.run(f, func(ctx context.Context, t *testing.T, answer string) {
		have, err := i.Observe(ctx)
		if fuzz.Failed(t, err) {
			return
		}
		assert.NotEmpty(t, have)
		for _, n := range have {
			assert.NotEmpty(t, n.ID)
			assert.Contains(t, answer, "i-1")
		}
	})
}

// Whatever the metadata service answers, the id is one word or an error.
func FuzzMetadata(f *testing.F) {
	f.Add("i-1")
	f.Add("<html>login</html>")
	f.Add("a b\nc")
	f.Add("")
	a := serve(f)
	f.Fuzz(func(t *testing.T, answer string) {
		a.Body = []byte(answer)
		i, err := aws.Connect(t.Context(), aws.Options{Way: cloud.Way{API: a.url, Metadata: a.url, Pace: fuzz.Quick}})
		if !fuzz.Failed(t, err) {
			assert.Equal(t, strings.TrimSpace(answer)+" in "+strings.TrimSpace(answer), i.Instance())
		}
	})
}

// Whatever EC2 answers, what comes out is about the wanted prefixes of a table
// with the mark, or is an error on one line.
func FuzzRouteTables(f *testing.F) {
	table := func(tag, routes string) string {
		return `<DescribeRouteTablesResponse><routeTableSet><item><routeTableId>rtb-1</routeTableId><routeSet>` +
			routes + `</routeSet><tagSet>` + tag + `</tagSet></item></routeTableSet></DescribeRouteTablesResponse>`
	}
	mark := `<item><key>wgmesh.router</key><value>m</value></item>`
	item := `<item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock>` +
		`<networkInterfaceId>eni-1</networkInterfaceId><state>active</state></item>`
	f.Add(table(mark, item), false)
	f.Add(table(mark, strings.ReplaceAll(item, "networkInterfaceId", "transitGatewayId")+item), false)
	f.Add(table(mark, `<item><destinationIpv6CidrBlock>2001:DB8:0::/32</destinationIpv6CidrBlock>`+
		`<gatewayId>a&#10;b</gatewayId></item>`), false)
	f.Add(table(mark, `<item><destinationCidrBlock>10.0.0.1/16</destinationCidrBlock></item><item/>`), false)
	f.Add(table(`<item><key>wgmesh.router</key><value>x&#10;y</value></item>`, item), false)
	f.Add(table("", ""), false)
	f.Add(strings.Replace(
		table(mark, `<item><destinationPrefixListId>pl-&#10;1</destinationPrefixListId>`+
			`<gatewayId>a&#10;b</gatewayId></item>`),
		"<routeTableSet>",
		`<entrySet><item><cidr>10.0.3.1/24</cidr></item><item><cidr/></item></entrySet><routeTableSet>`, 1), false)
	f.Add(`<Response><Errors><Error><Code>RouteAlreadyExists</Code><Message>a&#10;b</Message></Error></Errors>`+
		`<RequestID>r</RequestID></Response>`, true)
	f.Add(`<html>proxy</html>`, true)
	a := serve(f)
	tables, err := aws.ConnectRoutes(f.Context(), aws.RouteOptions{
		Via: "eni-1", Region: "eu-west-1", Way: cloud.Way{API: a.url, Metadata: a.url, Pace: fuzz.Quick},
	})
	assert.NoError(f, err)
	want := route.Want{
		Mesh: "m", Tables: []string{"rtb-1"},
		Prefixes: must.Prefixes("10.0.0.0/16", "2001:db8::/32"),
		Via:      "eni-1",
	}
	a.run(f, func(ctx context.Context, t *testing.T, answer string) {
		for _, c := range []route.Change{
			{New: &route.Route{Prefix: want.Prefixes[0]}}, {Old: &route.Route{Prefix: want.Prefixes[1]}},
		} {
			_, err := tables.Write(ctx, want, c)
			fuzz.Failed(t, err)
		}
		want.Note = func(note string) { assert.NotContains(t, note, "\n") }
		have, err := tables.Observe(ctx, want)
		if fuzz.Failed(t, err) {
			return
		}
		assert.Contains(t, answer, "wgmesh.router")
		fuzz.Wanted(t, want, have)
		delta, _ := route.Diff(want, have)
		for _, c := range delta {
			assert.True(t, want.Covers(*c.New))
		}
	})
}
