package aws_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/aws"
)

// served lets a server answer every request with what body holds.
func served(f *testing.F, body *string, status *int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/api/token") {
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = w.Write([]byte("t"))
			return
		}
		w.WriteHeader(*status)
		_, _ = w.Write([]byte(*body))
	}))
	f.Cleanup(s.Close)
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s",
		"AWS_CA_BUNDLE": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL,
	} {
		f.Setenv(name, value)
	}
	return s.URL
}

var quick = cloud.Pace{First: time.Microsecond, Most: time.Microsecond}

// Whatever EC2 answers, what comes out belongs to the instance, or is an error
// on one line.
func FuzzDescribe(f *testing.F) {
	item := `<item><networkInterfaceId>eni-1</networkInterfaceId><sourceDestCheck>true</sourceDestCheck><attachment><instanceId>i-1</instanceId><deviceIndex>0</deviceIndex></attachment></item>`
	set := func(s string) string {
		return `<DescribeNetworkInterfacesResponse><networkInterfaceSet>` + s +
			`</networkInterfaceSet></DescribeNetworkInterfacesResponse>`
	}
	f.Add(set(item), false)
	f.Add(set(strings.ReplaceAll(item, "i-1", "i-2")), false)
	f.Add(set("<item/><item><attachment/></item>"), false)
	f.Add(set("<item><sourceDestCheck>perhaps</sourceDestCheck></item>"), false)
	f.Add(`<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>a&#10;b</Message></Error></Errors><RequestID>r</RequestID></Response>`, true)
	f.Add(`<html>proxy</html>`, true)
	f.Add(``, true)
	var body string
	status := http.StatusOK
	url := served(f, &body, &status)
	i, err := aws.Connect(f.Context(),
		aws.Options{
			InstanceID: "i-1", Region: "eu-west-1", Interfaces: []string{"all"}, API: url,
			Metadata: url, Pace: quick,
		})
	assert.NoError(f, err)
	f.Fuzz(func(t *testing.T, answer string, refused bool) {
		if strings.Contains(strings.ToLower(answer), "nexttoken") {
			return // asks for page after page, until ctx ends
		}
		body, status = answer, http.StatusOK
		if refused {
			status = http.StatusBadRequest
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // a throttle is waited out
		defer cancel()
		have, err := i.Observe(ctx)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
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
	var body string
	status := http.StatusOK
	url := served(f, &body, &status)
	f.Fuzz(func(t *testing.T, answer string) {
		body = answer
		i, err := aws.Connect(t.Context(), aws.Options{API: url, Metadata: url, Pace: quick})
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		assert.Equal(t, strings.TrimSpace(answer)+" in "+strings.TrimSpace(answer), i.Instance())
	})
}
