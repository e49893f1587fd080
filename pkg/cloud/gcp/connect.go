// Package gcp sets canIpForward of a Compute Engine instance, which holds for all of its
// interfaces. It can be changed while the instance runs: the change needs a refresh, and no more is
// allowed for it, so that the API refuses where it would have to restart the instance.
//
// An instance can only be updated as a whole. The body that was read goes back with one field
// changed, as JSON that was never decoded further: fields of tomorrow's API survive. Its
// fingerprint keeps it from undoing what another writer did meanwhile.
//
// And it makes static routes of VPC networks that go to an instance, see
// ConnectRoutes and the package route.
//
// The callers are the modules of the clouds.
package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/wgmesh/router/pkg/cloud"
)

// Options say which instance, and how to reach Google.
type Options struct {
	Project, Zone, Name string // "" for this machine, with its service account
	cloud.Way
}

// An Instance is one VM.
type Instance struct {
	project, zone, name string
	api                 string
	rest                *cloud.REST
	scopes              []string // of this machine's token; nil for one that has none
}

const scope = "https://www.googleapis.com/auth/"

// Connect finds the instance's name and zone, of this machine from its metadata
// service, and the credentials: the service account of this machine, or for an
// instance that was named the application default credentials.
func Connect(ctx context.Context, o Options) (*Instance, error) {
	client := cloud.Client(o.Metadata, o.Allow)
	i := &Instance{project: o.Project, zone: o.Zone, name: o.Name, api: strings.TrimSuffix(o.API, "/")}
	i.rest = &cloud.REST{HTTP: client, Pace: o.Pace, Explain: explain}
	universe := "googleapis.com"
	if o.Name == "" {
		m := newMetadata(client, o.Way)
		if err := m.describe(ctx, i, &universe); err != nil {
			return nil, err
		}
		i.rest.Token = m.token
	} else {
		// They keep this context for the tokens that they get later.
		found, err := google.FindDefaultCredentials(
			context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, client), scope+"compute")
		if err == nil {
			universe, err = found.GetUniverseDomain()
		}
		if err != nil {
			return nil, &cloud.Error{
				Do: "Google credentials", Err: err,
				Hint: "log in with gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
			}
		}
		i.rest.Token = func(ctx context.Context, _ bool) (string, error) { return usual(ctx, found.TokenSource) }
	}
	i.api = cmp.Or(i.api, "https://compute."+universe)
	i.rest.Base = i.api
	return i, i.check()
}

// usual takes a token of the credentials that were found, which know no timeout.
func usual(ctx context.Context, source oauth2.TokenSource) (string, error) {
	var token *oauth2.Token
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		token, err = source.Token()
	}()
	select {
	case <-ctx.Done():
		return "", &cloud.Error{Do: "Google credentials", Err: ctx.Err()}
	case <-done:
	}
	if err == nil {
		return token.AccessToken, nil
	}
	e := &cloud.Error{
		Do: "Google credentials", Err: err,
		Hint: "log in again with gcloud auth application-default login, or look at GOOGLE_APPLICATION_CREDENTIALS",
	}
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		e.Err, e.Code, e.Message = nil, answer.ErrorCode, answer.ErrorDescription
	}
	return "", e
}

// words are what names of projects, zones and instances are made of; a project
// may belong to a domain.
var words = regexp.MustCompile(`^[a-z0-9]([a-z0-9.:-]*[a-z0-9])?$`)

func (i *Instance) check() error {
	var errs []error
	for _, each := range [][2]string{{"project", i.project}, {"zone", i.zone}, {"name", i.name}} {
		if !words.MatchString(each[1]) {
			errs = append(errs, fmt.Errorf("%s: expected a name as Google Cloud has them, got %q", each[0], each[1]))
		}
	}
	return errors.Join(errs...)
}

type metadata struct {
	rest *cloud.REST
	base string
}

func newMetadata(client *http.Client, o cloud.Way) metadata {
	base := cmp.Or(strings.TrimSuffix(o.Metadata, "/"), "http://metadata.google.internal")
	return metadata{&cloud.REST{HTTP: client, Pace: o.Pace, Explain: explainMetadata}, base}
}

// describe fills in who this machine is, and in which universe.
func (m metadata) describe(ctx context.Context, i *Instance, universe *string) error {
	var zone, scopes string
	for _, each := range []struct {
		name string
		out  *string
	}{
		{"project/project-id", &i.project},
		{"instance/name", &i.name},
		{"instance/zone", &zone},
		{"instance/service-accounts/default/scopes", &scopes},
		{"universe/universe-domain", universe},
	} {
		a, err := m.get(ctx, "metadata "+each.name, each.name)
		var e *cloud.Error
		switch {
		case err == nil:
			*each.out = strings.TrimSpace(string(a.Body))
		case !errors.As(err, &e) || e.Code != "HTTP 404":
			return err
		case each.out == &scopes:
			e.Hint = "the instance has no service account to act with: " +
				"give it one while it is stopped, or run the task on the control node"
			return e
		case each.out != universe: // which is Google's own where it is not said
			return err
		}
	}
	i.zone, i.scopes = path.Base(zone), append([]string{}, strings.Fields(scopes)...)
	if !words.MatchString(*universe) {
		return fmt.Errorf("metadata universe/universe-domain: expected a domain, got %q", *universe)
	}
	return nil
}

// token is one of the service account. The metadata service keeps it and makes
// a new one in time; there is no way to ask for one earlier.
func (m metadata) token(ctx context.Context, _ bool) (string, error) {
	const do = "token of the service account"
	var out struct {
		Token string `json:"access_token"`
	}
	a, err := m.get(ctx, do, "instance/service-accounts/default/token")
	if err == nil {
		err = a.Decode(do, &out)
	}
	if err == nil && out.Token == "" {
		err = fmt.Errorf("%s: no access_token in the answer", do)
	}
	return out.Token, err
}

func (m metadata) get(ctx context.Context, do, name string) (cloud.Answer, error) {
	a, err := m.rest.Send(ctx, cloud.Request{
		Do: do, Method: http.MethodGet, URL: m.base + "/computeMetadata/v1/" + name,
		Header: map[string]string{"Metadata-Flavor": "Google"},
	})
	if err == nil && a.Header.Get("Metadata-Flavor") != "Google" {
		err = fmt.Errorf("%s: what answered is not Google's metadata service", do)
	}
	return a, err
}

func explainMetadata(do string, a cloud.Answer) *cloud.Error {
	return &cloud.Error{Do: do, Code: "HTTP " + strconv.Itoa(a.Status)}
}
