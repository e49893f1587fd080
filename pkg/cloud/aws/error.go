package aws

import (
	"errors"
	"io"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/wgmesh/router/pkg/cloud"
)

func wrap(do string, err error) error {
	if err == nil {
		return nil
	}
	return explain(do, err)
}

// code is the provider's code of an error, "" for any other error.
func code(err error) string {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.Code
	}
	return ""
}

// explain turns an error of the SDK into ours: what AWS said, what to do.
func explain(do string, err error) *cloud.Error {
	e := &cloud.Error{Do: do}
	var id interface{ ServiceRequestID() string }
	if errors.As(err, &id) {
		e.RequestID = id.ServiceRequestID()
	}
	status := 0
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		status = answer.HTTPStatusCode()
	}
	var api smithy.APIError
	var send *smithyhttp.RequestSendError
	var operation *smithy.OperationError
	switch {
	case errors.As(err, &api):
		e.Code = api.ErrorCode()
		// What follows is a kilobyte for sts:DecodeAuthorizationMessage.
		e.Message, _, _ = strings.Cut(api.ErrorMessage(), "Encoded authorization failure message:")
	case errors.As(err, &operation):
		for inner := operation; errors.As(inner.Err, &inner); { // the innermost says it shortest
			operation = inner
		}
		e.Err = operation.Err
	default:
		e.Err = err
	}
	_, throttled := retry.DefaultThrottleErrorCodes[e.Code]
	switch {
	case throttled || status == 429:
		e.Kind = cloud.Throttled
	case e.Code == "RequestExpired" || strings.HasPrefix(e.Code, "ExpiredToken"):
		e.Kind = cloud.Expired
		e.Hint = "the credentials have expired: get new ones, such as with aws sso login; " +
			"if they are new, set the clock"
	case e.Code == "AuthFailure" || e.Code == "SignatureDoesNotMatch" || e.Code == "InvalidClientTokenId":
		e.Hint = "AWS does not accept the credentials: look at the key, at the region's partition and at the clock"
	case e.Code == "UnauthorizedOperation" || strings.HasPrefix(e.Code, "AccessDenied"):
		e.Denied = true
		e.Hint = "the permission " + permission(do) + " is missing: allow it in the policy of the role or user"
	case strings.HasPrefix(e.Code, "InvalidRouteTableID"):
		e.Hint = "check its id, its region and account, and that it was not deleted"
	case e.Code == "RouteLimitExceeded":
		e.Hint = "the table is full: announce fewer and larger prefixes, or have the quota of routes per table raised"
	case strings.HasPrefix(e.Code, "InvalidNetworkInterfaceID") || strings.HasPrefix(e.Code, "InvalidInstanceID"):
		e.Hint = "check that the instance was not terminated"
	case status >= 500:
		e.Kind = cloud.Broken
	case operation != nil && operation.ServiceID == "ec2imds" && !strings.HasPrefix(do, "metadata "):
		e.Hint = "the instance has no role to act with: attach an instance profile whose role allows " +
			permission(do) + ", or run the task on the control node " +
			"and name the instance or interface"
	case errors.As(err, &send) || cut(err):
		e.Kind = cloud.Broken
	}
	e.Unsure = e.Kind == cloud.Broken && cloud.Unheard(err)
	return e
}

// cut reports whether the connection ended in the middle of an answer.
func cut(err error) bool {
	var connection net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &connection)
}

// permission is the IAM action in what was done.
func permission(do string) string {
	if i := strings.Index(do, "ec2:"); i >= 0 {
		return do[i:]
	}
	return do
}
