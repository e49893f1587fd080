package cloud

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
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

// Client makes the client for a cloud's APIs and metadata service. APIs are reached through the
// proxies of the environment; the metadata service, at its well-known addresses or at the URL of
// the option, never is. Where allow is not nil, it refuses hosts by their names.
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

// dial connects. A metadata service is next door: it answers at once or is not there.
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

// mostBody bounds an answer. A virtual machine's description is some kilobytes.
const mostBody = 8 << 20

// A Request is one call of an API.
type Request struct {
	Do     string // in words, for errors
	Method string
	URL    string
	Header map[string]string
	Body   []byte // JSON, unless the header says otherwise
}

// An Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// A REST speaks JSON with an API that takes bearer tokens. The packages of the clouds use it where
// the vendor's own types would lose the fields that they do not know.
type REST struct {
	HTTP *http.Client
	Pace Pace
	Base string // where tokens may go: this host, and those below it
	// Token returns a token, a new one when fresh. nil for an API without.
	Token func(ctx context.Context, fresh bool) (string, error)
	// Explain says what an answer means that is not a success.
	Explain func(do string, a Answer) *Error

	fresh bool
}

// Send makes one call until it succeeds or failed for good. A lost race is for
// the caller, who has to read again.
func (r *REST) Send(ctx context.Context, q Request) (a Answer, err error) {
	err = r.Pace.Try(ctx, func() { r.fresh = true }, func(ctx context.Context) error {
		a, err = r.once(ctx, q)
		return err
	})
	return a, err
}

func (r *REST) once(ctx context.Context, q Request) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, q.Method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", q.Do, err)
	}
	if q.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range q.Header {
		request.Header.Set(name, value)
	}
	if r.Token != nil {
		if !r.home(request.URL) {
			return Answer{}, fmt.Errorf("%s: the answer names %s, which is not below %s", q.Do,
				request.URL.Host, r.Base)
		}
		token, err := r.Token(ctx, r.fresh)
		if err != nil {
			return Answer{}, err
		}
		r.fresh = false
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := r.HTTP.Do(request)
	if err != nil {
		return Answer{}, &Error{Do: q.Do, Kind: Broken, Err: unquote(err), Unsure: Unheard(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostBody))
	if err != nil {
		return Answer{}, &Error{Do: q.Do, Kind: Broken, Err: err, Unsure: true}
	}
	a := Answer{response.StatusCode, response.Header, body}
	if a.Status >= 200 && a.Status < 300 {
		return a, nil
	}
	e := r.Explain(q.Do, a)
	e.After = a.Wait()
	switch {
	case e.Kind != Final || e.Hint != "": // Explain knows more than the status
	case a.Status == http.StatusUnauthorized:
		e.Kind = Expired
	case a.Status == http.StatusPreconditionFailed:
		e.Kind = Race
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable && e.After > 0:
		e.Kind = Throttled
	case a.Status >= 500:
		e.Kind, e.Unsure = Broken, true
	}
	return a, e
}

func (r *REST) home(u *url.URL) bool {
	base, err := url.Parse(r.Base)
	if err != nil || u.Scheme != base.Scheme {
		return false
	}
	return u.Host == base.Host || strings.HasSuffix(u.Host, "."+base.Host)
}

// Wait is how long an answer asks to wait; 0 when it does not.
func (a Answer) Wait() time.Duration {
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > 3600 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// Get reads a resource into out.
func (r *REST) Get(ctx context.Context, do, url string, out any) error {
	a, err := r.Send(ctx, Request{Do: do, Method: http.MethodGet, URL: url})
	if err != nil {
		return err
	}
	return a.Decode(do, out)
}

// Decode reads the answer into out.
func (a Answer) Decode(do string, out any) error {
	if err := json.Unmarshal(a.Body, out); err != nil {
		return &Error{Do: do, Err: err, Hint: "what answered is not the API; look at the endpoints and proxies"}
	}
	return nil
}

// unquote takes the address, which Do names, from an error of net/http.
func unquote(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", hostOf(e.URL), e.Err)
	}
	return err
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "?"
	}
	return u.Host
}
