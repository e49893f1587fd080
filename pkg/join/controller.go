package join

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/cloud"
)

// callController is the mode controller: it asks AWX, or the Automation
// Platform, to run the job template for this machine. The controller knows the
// machine by the address that the request comes from.
func (r run) callController(ctx context.Context) (string, error) {
	c := r.config.Controller
	key, err := c.key()
	if err != nil {
		return "", err
	}
	client, err := c.client()
	if err != nil {
		return "", err
	}
	// The controller may first ask its own inventory sources, and answers only then.
	ctx, cancel := context.WithTimeout(ctx, r.config.PlayTimeout)
	defer cancel()
	name := cmp.Or(r.config.Router, r.machine.hostname)
	status, header, said, err := c.post(ctx, client, key)
	if err != nil {
		return "", c.unreachable(err, time.Now())
	}
	return c.outcome(name, status, header.Get("Location"), strings.ReplaceAll(said, key, "[redacted]"))
}

// client speaks TLS 1.2 or newer, uses the environment's proxy, and takes no
// key to where a redirect points.
func (c Controller) client() (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, wrong("controller.ca_file: %v", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, wrong("controller.ca_file: %s holds no certificate in PEM form", c.CAFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: cloud.Proxy, TLSClientConfig: tlsConfig,
			TLSHandshakeTimeout: 20 * time.Second, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// post sends the callback, as awx/api/templates/api/job_template_callback.md
// says, and returns what the controller said in words.
func (c Controller) post(ctx context.Context, client *http.Client, key string) (status int,
	header http.Header, said string, err error,
) {
	body, err := json.Marshal(map[string]string{"host_config_key": key})
	if err != nil {
		return 0, nil, "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return 0, nil, "", err
	}
	var answer struct{ Msg, Detail string }
	// What is not JSON comes from something before the controller and says nothing.
	_ = json.Unmarshal(text, &answer)
	return response.StatusCode, response.Header, oneLine(answer.Msg + " " + answer.Detail), nil
}

// outcome puts an answer into words. AWX says everything that is not about the
// key with status 400 and a text (JobTemplateCallback.post in awx/api/views).
func (c Controller) outcome(name string, status int, location, said string) (string, error) {
	host := c.URL.Host
	answered := strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	if said != "" {
		answered += ": " + said
	}
	switch has := func(text string) bool { return strings.Contains(said, text) }; {
	case status == http.StatusCreated || status == http.StatusAccepted:
		job := "a job"
		if location != "" {
			job = oneLine(location)
		}
		return fmt.Sprintf("%s: the controller %s took it over: %s", name, host, job), nil
	case status == http.StatusBadRequest && has("already pending"):
		return fmt.Sprintf("%s: the controller %s is at it already: its job for this router has not ended",
			name, host), nil
	case status == http.StatusBadRequest && has("No matching host"):
		return "", later(
			"%s: the controller %s has no host with this machine's address in the job template's inventory; "+
				"give it one (ansible_host), and set its source to update on launch", name, host)
	case status == http.StatusBadRequest && has("Multiple hosts"):
		return "", later("%s: the controller %s has several hosts with this machine's address; "+
			"leave one of them in the job template's inventory", name, host)
	case status == http.StatusBadRequest && has("Cannot start automatically"):
		return "", later("%s: the controller %s cannot start the job by itself (%s); "+
			"give the job template an inventory and take its prompts and survey away", name, host, said)
	case status == http.StatusBadRequest:
		return "", later("%s: the controller %s refused: %s", name, host, answered)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "", wrong("%s: the controller %s refused the host config key of %s (%s); copy the job template's", name,
			host, c.KeyFile, answered)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return "", wrong(
			"%s: the controller %s has no callback at %s (%s); copy the job template's \"Provisioning callback "+
				"URL\" to controller.url", name, host, c.URL.Path, answered)
	case status >= 300 && status < 400:
		return "", wrong("%s: %s redirects to %s, and the key does not follow; "+
			"if that is right, set controller.url to it", name, host, redacted(location))
	case status >= 500 || status == http.StatusTooManyRequests:
		return "", later("%s: the controller %s is not able to answer: %s", name, host, answered)
	default:
		return "", wrong("%s: the controller %s refused: %s", name, host, answered)
	}
}

// unreachable puts into words why there is no answer.
func (c Controller) unreachable(err error, now time.Time) error {
	host := c.URL.Host
	var (
		stranger x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		other    x509.HostnameError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return later("the controller %s did not answer within play_timeout", host)
	case errors.As(err, &stranger):
		return wrong("the controller %s has a certificate of an authority that this machine does not know; "+
			"name its certificate as controller.ca_file", host)
	case errors.As(err, &other):
		return wrong("the controller %s has a certificate for another name: %v; correct controller.url", host,
			oneLine(other.Error()))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return later("the controller %s has a certificate that is not valid at this machine's time, %s; "+
			"look at `chronyc tracking`, then at the certificate", host, now.UTC().Format("2006-01-02 15:04 UTC"))
	}
	// http.Client puts the address before the reason; it is said already.
	if u := new(url.Error); errors.As(err, &u) {
		err = u.Err
	}
	if text := err.Error(); strings.Contains(text, "server gave HTTP response") {
		return wrong("the controller %s speaks HTTP at this port; correct controller.url", host)
	}
	return later("the controller %s cannot be reached: %s", host, oneLine(err.Error()))
}

// redacted is an address without a password.
func redacted(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "an address that is none"
	}
	return oneLine(u.Redacted())
}
