package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/cloud/azure"
)

// A metadata service that is updated is waited for, and then asked: what ends the wait is
// later, and what systemd ends the program by later still.
func TestPublishWaitsForTheMetadataService(t *testing.T) {
	pace := cloud.DefaultPace().Most
	assert.GreaterOrEqual(t, publishLimit, azure.MetadataUpdate+pace+pace/2+20*time.Second,
		"the last pause, and the work")
	unit := string(must.Get(os.ReadFile("../../roles/router/files/wgmesh-host-key.service"))(t))
	limit := regexp.MustCompile(`(?m)^TimeoutStartSec=(\d+)$`).FindStringSubmatch(unit)
	require.NotNil(t, limit)
	assert.Greater(t, time.Duration(must.Get(strconv.Atoi(limit[1]))(t))*time.Second, publishLimit)
}
