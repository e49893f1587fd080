package gcp

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/wgmesh/router/pkg/cloud"
)

// A view is an instance as it was read: in full, undecoded, and the one field that matters.
type view struct {
	whole      map[string]json.RawMessage
	forwarding bool
}

func parseView(do string, a cloud.Answer) (v view, err error) {
	var fingerprint string
	err = a.Decode(do, &v.whole)
	for name, out := range map[string]any{"fingerprint": &fingerprint, "canIpForward": &v.forwarding} {
		if raw, found := v.whole[name]; found && err == nil {
			err = cloud.Answer{Body: raw}.Decode(do+": "+name, out)
		}
	}
	if err == nil && fingerprint == "" {
		err = &cloud.Error{Do: do, Err: errors.New("no fingerprint in the answer")}
	}
	return v, err
}

// with is the body that sets the one field and keeps all others.
func (v view) with(forwarding bool) ([]byte, error) {
	value, err := json.Marshal(forwarding)
	if err != nil {
		return nil, err
	}
	whole := maps.Clone(v.whole)
	whole["canIpForward"] = value
	return json.Marshal(whole)
}

func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// An operation is what the API does after it has answered.
type operation struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Error  struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	} `json:"error"`
}

func parseOperation(do string, a cloud.Answer) (operation, error) {
	var o operation
	if err := a.Decode(do, &o); err != nil {
		return o, err
	}
	if len(o.Error.Errors) > 0 {
		return o, hint(&cloud.Error{Do: do, Code: o.Error.Errors[0].Code, Message: o.Error.Errors[0].Message}).Ended()
	}
	if !words.MatchString(o.Name) {
		return o, &cloud.Error{Do: do, Err: fmt.Errorf("the answer is not an operation: its name is %q", o.Name)}
	}
	return o, nil
}
