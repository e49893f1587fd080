package azure

import (
	"cmp"
	"context"
	"net/http"

	"github.com/wgmesh/router/pkg/cloud"
)

// wait polls the operation that an answer to a PUT or DELETE names, until it has
// ended. Where it names none the work was done at once.
func wait(ctx context.Context, rest *cloud.REST, do string, a cloud.Answer) error {
	url := a.Header.Get("Azure-AsyncOperation")
	if url == "" {
		return nil // provisioningState tells the rest
	}
	first := a.Wait()
	return rest.Pace.Until(ctx, func(ctx context.Context) (bool, string, error) {
		if first > 0 && rest.Pace.Sleep(ctx, 0, first) != nil {
			return false, do + ": the operation goes on", nil
		}
		a, err := rest.Send(ctx, cloud.Request{Do: do, Method: http.MethodGet, URL: url})
		if err != nil {
			return false, "", err
		}
		first = a.Wait()
		var operation struct {
			Status string  `json:"status"`
			Error  problem `json:"error"`
		}
		if err := a.Decode(do, &operation); err != nil {
			return false, "", err
		}
		switch operation.Status {
		case "Succeeded":
			return true, "", nil
		case "Failed", "Canceled":
			e := operation.Error.explain(do)
			e.Code = cmp.Or(e.Code, "the operation ended with "+operation.Status)
			e.RequestID = requestID(a)
			return false, "", e.Ended()
		}
		return false, do + ": the operation is " + operation.Status, nil
	})
}
