package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
)

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
