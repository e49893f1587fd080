package azure

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wgmesh/router/pkg/cloud"
)

// problem is the error object of the resource manager, in an answer or in an operation that failed.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func explain(do string, a cloud.Answer) *cloud.Error {
	var body struct {
		Error problem `json:"error"`
	}
	_ = json.Unmarshal(a.Body, &body) // what is not JSON has no code
	e := body.Error.explain(do)
	e.Code = cmp.Or(e.Code, "HTTP "+strconv.Itoa(a.Status))
	e.RequestID = requestID(a)
	return e
}

func requestID(a cloud.Answer) string {
	if id := a.Header.Get("x-ms-request-id"); id != "" {
		return id
	}
	return a.Header.Get("x-ms-correlation-request-id")
}

// actions are those that a message quotes; the last one is what is missing.
var actions = regexp.MustCompile(`'(Microsoft\.[A-Za-z0-9./]+)'`)

func (p problem) explain(do string) *cloud.Error {
	e := &cloud.Error{Do: do, Code: p.Code, Message: p.Message}
	switch p.Code {
	case "ExpiredAuthenticationToken", "InvalidAuthenticationToken", "AuthenticationFailed":
		e.Kind = cloud.Expired
		e.Hint = "Azure does not accept the token: log in again; if it is new, set the clock"
	case "AuthorizationFailed", "LinkedAuthorizationFailed":
		e.Denied = true
		e.Hint = "a permission is missing in the role of the identity"
		if all := actions.FindAllStringSubmatch(p.Message, -1); len(all) > 0 {
			e.Hint = "the permission " + all[len(all)-1][1] + " is missing: allow it in the role of the identity"
		}
	case "RequestDisallowedByPolicy":
		e.Hint = "a policy of the subscription forbids it; it is not a matter of permissions"
	case "ScopeLocked":
		e.Hint = "there is a lock on the resource: remove it for the moment of the change"
	case "ResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound", "NotFound":
		e.Hint = "check its id, and that it was not deleted"
	case "AnotherOperationInProgress", "OperationNotAllowedDuringUpdate":
		e.Kind = cloud.Throttled
	case "RetryableError", "PreconditionFailed", "PreconditionFailedEtagMismatch",
		"Canceled", "CanceledAndSupersededDueToAnotherOperation": // the code is the first, in its details is the second
		e.Kind = cloud.Race
	}
	if strings.HasPrefix(p.Code, "TooManyRequests") || p.Code == "OperationPreempted" {
		e.Kind = cloud.Throttled
	}
	return e
}

// MetadataUpdate is how long the metadata service may be updated, as Microsoft says: a caller
// that asks it has to have more time than that.
const MetadataUpdate = 70 * time.Second

func explainMetadata(do string, a cloud.Answer) *cloud.Error {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(a.Body, &body)
	e := &cloud.Error{Do: do, Code: body.Error, Message: body.Description}
	e.Code = cmp.Or(e.Code, "HTTP "+strconv.Itoa(a.Status))
	token := strings.HasPrefix(do, "token")
	switch {
	case a.Status == 410 || a.Status == 404 && token: // so it answers while it is updated, for up to MetadataUpdate
		e.Kind = cloud.Throttled
	case a.Status == 404:
		e.Kind = cloud.Broken
	case a.Status == 400 && token:
		e.Hint = "the VM has no managed identity, or several: " +
			"assign one with a role that may write what the module writes, say which with AZURE_CLIENT_ID, " +
			"or run the task on the control node"
	}
	return e
}
