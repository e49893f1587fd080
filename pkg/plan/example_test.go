package plan_test

import (
	"fmt"

	"github.com/wgmesh/router/pkg/plan"
)

// The number of a tunnel follows from the ids of its two routers, in either order.
func ExampleNumber() {
	fmt.Println(plan.Number(1, 3), plan.Number(3, 1))
	// Output: 2 2
}

// A router's name becomes a name that BIRD accepts for a protocol.
func ExampleProtocolName() {
	fmt.Println(plan.ProtocolName("azure-1"))
	// Output: azure_1
}
