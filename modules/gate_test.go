package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A caller that says nothing is sent away, and one that asks for too much is told
// why, in the form in which Ansible shows it.
func TestGateAnswers(t *testing.T) {
	run := func(ctx context.Context, in io.Reader, args ...string) (int, string) {
		var out, errs bytes.Buffer
		status := gateCommand(ctx, args, in, &out, &errs)
		return status, out.String() + errs.String()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	silent, w := io.Pipe()
	defer w.Close()
	status, said := run(ctx, silent, "azure-1")
	assert.Equal(t, 1, status)
	assert.Contains(t, said, `"msg":"gate: no request came within 10s`)

	status, said = run(t.Context(), strings.NewReader("id\n"), "azure-1")
	assert.Equal(t, 1, status)
	assert.Contains(t, said, `"failed":true`)

	status, said = run(t.Context(), strings.NewReader(""))
	assert.Equal(t, 2, status)
	assert.Contains(t, said, "wgmesh gate ROUTER")
}
