package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"

	"github.com/wgmesh/router/pkg/cloud"
)

const (
	hostKeyTag  = "mesh_host_key"
	tagsVersion = "2021-04-01"
)

// A HostKey is the tag mesh_host_key of this machine's first network interface. It is
// not one of the machine: whoever may write tags there may write all of them, and those
// of the machine say which router it is.
type HostKey struct {
	vm           *VM
	machine, nic string
}

// ConnectHostKey finds this machine and its first network interface.
func ConnectHostKey(ctx context.Context, o cloud.Way) (*HostKey, error) {
	rest, about, err := connect(ctx, true, o)
	if err != nil {
		return nil, err
	}
	h := &HostKey{vm: &VM{id: about.Compute.ResourceID, api: rest.Base, rest: rest}, machine: about.Compute.VMID}
	if err := checkID(h.vm.id); err != nil {
		return nil, err
	}
	if h.machine == "" {
		return nil, errors.New("metadata of the instance: no vmId in the answer; run it on a VM of Azure")
	}
	all, err := h.vm.interfaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.Primary {
			h.nic = n.ID
			return h, checkNIC(h.vm.id, n.ID)
		}
	}
	return nil, fmt.Errorf("%s: it has no primary network interface, whose tag is to hold the host key", h.vm.id)
}

// Machine is the id that a VM keeps for life, and one of its name made again has not.
func (h *HostKey) Machine() string { return h.machine }

// Place names the tag.
func (h *HostKey) Place() string {
	return "tag " + hostKeyTag + " of the network interface " + path.Base(h.nic)
}

type tags struct {
	Operation  string `json:"operation,omitempty"`
	Properties struct {
		Tags map[string]string `json:"tags"`
	} `json:"properties"`
}

func (h *HostKey) url() string {
	return h.vm.url(h.nic+"/providers/Microsoft.Resources/tags/default", tagsVersion)
}

// Read returns what is published.
func (h *HostKey) Read(ctx context.Context) (string, error) {
	var have tags
	err := h.vm.rest.Get(ctx, "read the "+h.Place(), h.url(), &have)
	return have.Properties.Tags[hostKeyTag], err
}

// Write publishes a line, and leaves other tags alone.
func (h *HostKey) Write(ctx context.Context, line string) error {
	want := tags{Operation: "Merge"}
	want.Properties.Tags = map[string]string{hostKeyTag: line}
	body, err := json.Marshal(want)
	if err != nil {
		return err
	}
	_, err = h.vm.rest.Send(ctx, cloud.Request{
		Do: "write the " + h.Place(), Method: http.MethodPatch, URL: h.url(), Body: body,
	})
	return err
}
