// Package aws sets the source/destination check of an EC2 instance's network interfaces: an
// interface forwards when the check is off. It asks per interface and never for the instance's
// attribute, which EC2 refuses as soon as there are two interfaces.
//
// And it points routes of a VPC's route tables at a network interface, see
// ConnectRoutes and the package route.
//
// The callers are the modules of the clouds and the daemon that moves routes.
package aws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/logging"

	"github.com/wgmesh/router/pkg/cloud"
)

// Options say which instance, and how to reach AWS.
type Options struct {
	InstanceID string // "" for this machine, with the role of its instance profile
	Region     string // with InstanceID; "" for what the environment or profile says
	Interfaces []string
	cloud.Way
}

// An Instance is one EC2 instance. It has the two calls that are made, and not the client: what can
// be reached from here by reflection stays in the binary, and the client has 700 methods.
type Instance struct {
	id, region string
	words      []string
	pace       cloud.Pace
	renew      func()
	describe   call[ec2.DescribeNetworkInterfacesInput, ec2.DescribeNetworkInterfacesOutput]
	modify     call[ec2.ModifyNetworkInterfaceAttributeInput, ec2.ModifyNetworkInterfaceAttributeOutput]
}

// A call is one of EC2's.
type call[in, out any] = func(context.Context, *in, ...func(*ec2.Options)) (*out, error)

// Connect finds the instance's id and region, of this machine from its metadata
// service, and the credentials: those of this machine's role, or for an instance
// that was named what the environment has for AWS's own tools.
func Connect(ctx context.Context, o Options) (*Instance, error) {
	w := way{Way: o.Way, region: o.Region}
	if o.InstanceID == "" {
		m := metadata(o.Way)
		var err error
		if o.InstanceID, err = get(ctx, m, "instance-id"); err != nil {
			return nil, err
		}
		if err := w.own(ctx, m); err != nil {
			return nil, err
		}
	}
	api, region, renew, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Instance{
		id: o.InstanceID, region: region, words: o.Interfaces, pace: o.Pace, renew: renew,
		describe: api.DescribeNetworkInterfaces, modify: api.ModifyNetworkInterfaceAttribute,
	}, nil
}

// A way is how to reach EC2: where, and as whom.
type way struct {
	cloud.Way
	region string
	role   aws.CredentialsProvider // nil for what AWS's own tools take
}

// own is the way of this machine: its region, and the role of its instance profile.
func (w *way) own(ctx context.Context, m *imds.Client) (err error) {
	w.role = ec2rolecreds.New(func(r *ec2rolecreds.Options) { r.Client = m })
	w.region, err = get(ctx, m, "placement/region")
	return err
}

// Limits for one request, which EC2 answers well within a second. One that hangs, as on a
// connection that was kept to what has died since, must leave time for the next attempts
// within the 20 s of a failover; the SDK would wait for a quarter of an hour. A new connection
// may need the second name server, which Go's resolver asks after 5 s (resolv.conf(5)).
const (
	answers  = 4 * time.Second
	connects = 8 * time.Second
)

// connect returns a client, of which the caller keeps single calls only, its
// region, and what gets new credentials.
func (w way) connect(ctx context.Context) (api *ec2.Client, region string, renew func(), err error) {
	// The SDK's own client takes the certificates of AWS_CA_BUNDLE.
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = connects }).
		WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answers }).
		WithTransportOptions(cloud.Tune(w.Metadata, w.Allow))
	set := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }), // package cloud waits
		config.WithLogger(logging.Nop{}),                                   // what matters is in the errors
	}
	if w.role != nil {
		set = append(set, config.WithCredentialsProvider(w.role))
	} else if w.Metadata != "" {
		set = append(set, config.WithEC2IMDSEndpoint(w.Metadata))
	}
	if w.region != "" {
		set = append(set, config.WithRegion(w.region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, set...)
	if err != nil {
		return nil, "", nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, "", nil, errors.New("region: none was given, and neither AWS_REGION nor the profile has one")
	}
	api = ec2.NewFromConfig(cfg, func(e *ec2.Options) {
		e.HTTPClient = atOnce{e.HTTPClient}
		if w.API != "" {
			e.BaseEndpoint = aws.String(w.API)
		}
	})
	renew = func() {}
	if cache, ok := cfg.Credentials.(*aws.CredentialsCache); ok {
		renew = cache.Invalidate
	}
	return api, cfg.Region, renew, nil
}

// atOnce sends the body of a request, some hundred bytes, from memory. net/http then writes it
// together with the header and has done when the answer comes. From the SDK's own reader, which is
// closed as soon as there is an answer, it may still want to read its end then, and takes the
// closed reader for a broken connection (aws-sdk-go-v2, issue 2737).
type atOnce struct{ ec2.HTTPClient }

func (c atOnce) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return c.HTTPClient.Do(r)
}

// metadata asks for a token first, always: version 1 can be reached through an
// open proxy or a server that fetches what it is told to.
func metadata(w cloud.Way) *imds.Client {
	return imds.New(imds.Options{
		HTTPClient: cloud.Client(w.Metadata, w.Allow), Endpoint: w.Metadata, EnableFallback: aws.FalseTernary,
	})
}

const mostMetadata = 4096

func get(ctx context.Context, m *imds.Client, path string) (string, error) {
	out, err := m.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		e := explain("metadata "+path, err)
		e.Hint = "is this an EC2 instance with its metadata service enabled? In a container it needs a hop " +
			"limit of 2; a control node has to name the instance or interface"
		if ctx.Err() != nil {
			return "", cloud.Late(ctx, e)
		}
		return "", e
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, mostMetadata))
	if err != nil {
		return "", &cloud.Error{Do: "metadata " + path, Err: err}
	}
	value := strings.TrimSpace(string(text))
	if value == "" || strings.ContainsAny(value, " \t\r\n<>/") {
		return "", &cloud.Error{
			Do:      "metadata " + path,
			Message: fmt.Sprintf("expected one word, got %q", value),
			Hint:    "what answers is not EC2's metadata service",
		}
	}
	return value, nil
}
