package gcp

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
)

// guestAttribute is where the host key of a machine is. The metadata service lets a
// machine write its own ones and no others; the API shows them and writes none.
const guestAttribute = "instance/guest-attributes/wgmesh/mesh_host_key"

// A HostKey is the guest attribute of this machine.
type HostKey struct {
	metadata metadata
	machine  string
}

// ConnectHostKey finds this machine.
func ConnectHostKey(ctx context.Context, o cloud.Way) (*HostKey, error) {
	h := &HostKey{metadata: newMetadata(cloud.Client(o.Metadata, o.Allow), o)}
	a, err := h.metadata.get(ctx, "metadata instance/id", "instance/id")
	h.machine = strings.TrimSpace(string(a.Body))
	return h, err
}

// Machine is the id of the instance.
func (h *HostKey) Machine() string { return h.machine }

// Place names the attribute.
func (h *HostKey) Place() string { return "guest attribute wgmesh/mesh_host_key of " + h.machine }

// Read returns what is published.
func (h *HostKey) Read(ctx context.Context) (string, error) {
	a, err := h.metadata.get(ctx, "read the "+h.Place(), guestAttribute)
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Code == "HTTP 404" {
		return "", nil
	}
	return string(a.Body), permitted(err)
}

// Write publishes a line.
func (h *HostKey) Write(ctx context.Context, line string) error {
	_, err := h.metadata.rest.Send(ctx, cloud.Request{
		Do: "write the " + h.Place(), Method: http.MethodPut,
		URL:    h.metadata.base + "/computeMetadata/v1/" + guestAttribute,
		Header: map[string]string{"Metadata-Flavor": "Google", "Content-Type": "text/plain"}, Body: []byte(line),
	})
	return permitted(err)
}

// permitted says what to do where a machine may have no guest attributes.
func permitted(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Code == "HTTP 403" {
		e.Hint = "set enable-guest-attributes=TRUE in the metadata of the instance or of the project; " +
			"the organization's policy compute.disableGuestAttributesAccess may forbid it"
	}
	return err
}
