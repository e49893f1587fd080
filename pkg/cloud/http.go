package cloud

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// metadataAddresses are those of the metadata services that no prefix covers.
var metadataAddresses = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), // AWS
	netip.MustParseAddr("fd00:ec2::23"),  // AWS, credentials of pods
	netip.MustParseAddr("fd20:ce::254"),  // GCP
	netip.MustParseAddr("168.63.129.16"), // Azure
}

// A Way is how a cloud is reached. Tests take another one.
type Way struct {
	API      string // in place of the cloud's own endpoint
	Metadata string // in place of the metadata service's own address
	Pace     Pace
	Allow    func(host string) error // as in Client
}

// Client makes the client for a cloud's APIs and metadata service. APIs are
// reached through the proxies of the environment; the metadata service, at its
// well-known addresses or at the URL of the option, never is. Where allow is not nil, it
// refuses hosts by their names.
func Client(metadata string, allow func(host string) error) *http.Client {
	t := &http.Transport{
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 3 * time.Minute, // GCP's wait takes up to two
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       time.Minute,
	}
	Tune(metadata, allow)(t)
	return &http.Client{
		Transport: t,
		// An API does not redirect; where one does, the token must not follow.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Tune gives a transport of an SDK the proxies and the dialing of Client.
func Tune(metadata string, allow func(host string) error) func(*http.Transport) {
	d := dialer{metadata: host(metadata), allow: allow}
	return func(t *http.Transport) {
		t.Proxy = d.proxy(Proxy)
		t.DialContext = d.dial
	}
}

// Proxy is the environment's proxy for a request. Of a user or password that has a /, ? or #
// as it is, Go takes what comes before for the host: name servers would be asked for it, and
// the error would tell it.
func Proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if u == nil {
		return nil, err
	}
	bare := *u
	bare.User = nil
	if u.Host == "" || strings.Contains(bare.String(), "@") {
		// As Go's own: there was no connection.
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errNoProxy}
	}
	return u, err
}

var errNoProxy = errors.New("what HTTP_PROXY or HTTPS_PROXY says is not the URL of a proxy: expected " +
	"http://user:password@host:port, with %2F for a / in the password, and so on")

type dialer struct {
	metadata string
	allow    func(host string) error
}

// proxy wraps the choice of a proxy so that metadata services have none.
func (d dialer) proxy(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if err := d.refused(r.URL.Hostname()); err != nil {
			return nil, err // here too: AWS's SDK puts another dialer into its clients
		}
		if d.isMetadata(r.URL.Hostname()) {
			return nil, nil
		}
		return choose(r)
	}
}

func (d dialer) isMetadata(name string) bool {
	if name = strings.TrimSuffix(strings.ToLower(name), "."); name == d.metadata && name != "" {
		return true
	}
	if name == "metadata.google.internal" || name == "metadata" {
		return true
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	for _, a := range metadataAddresses {
		if addr.Unmap() == a {
			return true
		}
	}
	return addr.Unmap().IsLinkLocalUnicast()
}

// dial connects. A metadata service is next door: it answers at once or is not
// there.
func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := d.refused(name); err != nil {
		return nil, err
	}
	net := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}
	if d.isMetadata(name) {
		net.Timeout = 2 * time.Second
	}
	return net.DialContext(ctx, network, address)
}

func (d dialer) refused(host string) error {
	if d.allow == nil {
		return nil
	}
	return d.allow(host)
}

func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
