package birdc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wgmesh/router/pkg/birdc"
)

// A line without a code of its own carries the code of the line before it.
func ExampleReadReply() {
	sent := "0002-Reading configuration\n0003 Reconfigured\n"
	reply, err := birdc.ReadReply(bufio.NewReader(strings.NewReader(sent)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.Code())
	fmt.Println(reply.Text())
	// Output:
	// 3
	// Reading configuration
	// Reconfigured
}

// Do connects to BIRD, sends one command and reads its reply.
func ExampleDo() {
	_, err := birdc.Do(context.Background(), "/nonexistent/bird.ctl", "show status")
	fmt.Println(errors.Is(err, birdc.ErrNotRunning))
	// Output: true
}
