package gcp

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/wgmesh/router/pkg/cloud"
)

func explain(do string, a cloud.Answer) *cloud.Error {
	var body struct {
		Error struct {
			Message string `json:"message"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
			Details []struct {
				Reason    string `json:"reason"`
				RequestID string `json:"requestId"`
			} `json:"details"`
		} `json:"error"`
	}
	_ = json.Unmarshal(a.Body, &body) // what is not JSON has no code
	e := &cloud.Error{
		Do: do, Message: body.Error.Message, Code: "HTTP " + strconv.Itoa(a.Status),
		RequestID: a.Header.Get("X-Goog-Request-Id"),
	}
	for _, each := range body.Error.Errors {
		e.Code = each.Reason
	}
	for _, each := range body.Error.Details {
		if each.Reason != "" {
			e.Code = each.Reason
		}
		if each.RequestID != "" {
			e.RequestID = each.RequestID
		}
	}
	return hint(e)
}

const scopeHint = "it needs " + scope + "compute or " + scope +
	"cloud-platform, which it can get only while it is stopped " +
	"(gcloud compute instances set-service-account); or run the task on the control node"

// permission is what a message says is missing.
var permission = regexp.MustCompile(`'([a-z]+\.[A-Za-z.]+)' permission`)

// hint says what to do about a code.
func hint(e *cloud.Error) *cloud.Error {
	missing := permission.FindStringSubmatch(e.Message)
	code := strings.ReplaceAll(strings.ToLower(e.Code), "_", "")
	switch {
	case code == "accesstokenscopeinsufficient":
		e.Hint = scopeHint
	case missing != nil:
		e.Denied = true
		e.Hint = "the permission " + missing[1] + " is missing: allow it in a role of the account"
	case strings.Contains(e.Message, "constraints/compute.vmCanIpForward"):
		e.Hint = "the organization's policy compute.vmCanIpForward forbids it; it is not a matter of permissions"
	case code == "conditionnotmet":
		e.Kind = cloud.Race
	case code == "ratelimitexceeded" || code == "userratelimitexceeded" || code == "resourcenotready" ||
		code == "resourceoperationrateexceeded":
		e.Kind = cloud.Throttled
	case code == "autherror":
		e.Kind = cloud.Expired
		e.Hint = "Google does not accept the token: log in again; if it is new, set the clock"
	case code == "notfound" || code == "resourcenotfound":
		e.Hint = "check its project, zone and name, and that it was not deleted"
	}
	return e
}
