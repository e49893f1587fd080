package status_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/pkg/plan"
	"github.com/wgmesh/router/pkg/status"
)

const day = 24 * time.Hour

func TestAges(t *testing.T) {
	r, o := night()
	assert.Equal(t, []status.Age{}, status.Ages(o))
	healthy := status.Judge(r, o).Healthy()
	o.Made = []status.Made{
		{What: status.PrivateKey, At: o.At.Add(-100 * day)},
		{What: status.Image, At: o.At.Add(-50 * day)},
		{What: status.PresharedKey, Peer: "azure-2", At: o.At.Add(-20 * day)},
		{What: status.PresharedKey, Peer: "gcp-1", At: o.At.Add(-99 * day)},
	}
	lines := strings.Join(status.Table(r, o, status.Judge(r, o)), "\n")
	assert.Contains(t, lines, "\nage: private key 100 d, image 50 d\nage of pre-shared keys: azure-2 20 d, gcp-1 99 d")
	assert.Empty(t, status.Notes(r, o), "no threshold")

	o.Drained = plan.Drain{Since: o.At.Add(-time.Hour)}
	assert.Contains(t, status.Ages(o), status.Age{What: "drain", Seconds: 3600})
	o.Drained = plan.Drain{}

	r.KeyWarn, r.ImageWarn = 99*day-1, 49*day
	assert.Equal(t, []string{
		"the private key is 100 d old: make a new one (docs/at-night.md)",
		"the image is 50 d old: make a new one, or upgrade its packages (docs/rolling.md)",
		"pre-shared keys that are old: 1, the oldest is that of gcp-1 with 99 d: make new ones (docs/at-night.md)",
	}, status.Notes(r, o))
	assert.Equal(t, healthy, status.Judge(r, o).Healthy(), "a warning is not red")

	r.KeyWarn, r.ImageWarn, o.Reboot, r.Failover = 0, 0, "/run/reboot-required", true
	o.Made = []status.Made{{What: status.WaitingChange, At: o.At.Add(-30 * time.Second)}}
	assert.Equal(t, []string{
		"a change waits for its confirmation for 30 s: docs/guard.md says how to settle it",
		"a reboot is required (/run/reboot-required): run wgmesh.router.drain before it",
		"wgmesh-failover does not run, so no route table follows the routers: run wgmesh.router.routes",
	}, status.Notes(r, o))

	o.Made, o.Reboot, o.FailoverRuns = nil, "", true
	assert.Empty(t, status.Notes(r, o))
	o.FailoverFails = "rtb-a: denied"
	assert.Equal(t, []string{"wgmesh-failover tries in vain (rtb-a: denied): see journalctl -u wgmesh-failover"},
		status.Notes(r, o))
}

func TestAgesOfTheFuture(t *testing.T) {
	r, o := night()
	r.KeyWarn, r.ImageWarn = day, day
	far := o.At.Add(48 * time.Hour)
	o.Made = []status.Made{
		{What: status.PrivateKey, At: far},
		{What: status.Image, At: far},
		{What: status.PresharedKey, Peer: "gcp-1", At: far},
		{What: status.PresharedKey, Peer: "gcp-2", At: far},
	}
	was := " in the future (" + far.UTC().Format(time.DateOnly) + "): the clock was wrong then; make "
	assert.Equal(t, []string{
		"the private key was made" + was + "a new one (docs/at-night.md)",
		"the image was made" + was + "a new one, or upgrade its packages (docs/rolling.md)",
		"pre-shared keys made" + was + "new ones (docs/at-night.md): 2, the first is that of gcp-1",
	}, status.Notes(r, o))
	for i := range o.Made {
		o.Made[i].At = o.At.Add(23 * time.Hour)
	}
	assert.Empty(t, status.Notes(r, o), "clocks differ a little")
	r.KeyWarn, r.ImageWarn, o.Made[0].At = 0, 0, far
	assert.Empty(t, status.Notes(r, o), "no threshold")
}

func TestAgesOfManyFitTheTable(t *testing.T) {
	r, o := night()
	for i := range 40 {
		o.Made = append(o.Made, status.Made{
			What: status.PresharedKey, Peer: fmt.Sprintf("router-of-a-site-%d", i), At: o.At.Add(-day),
		})
	}
	lines := status.Table(r, o, status.Judge(r, o))
	for _, line := range lines {
		assert.LessOrEqual(t, len(line), 80)
	}
	assert.Contains(t, strings.Join(lines, " "), "router-of-a-site-39 24 h")
}

func TestMetricsOfAges(t *testing.T) {
	r, o := night()
	o.Made = []status.Made{
		{What: status.PrivateKey, At: time.Unix(1000, 0)},
		{What: status.PresharedKey, Peer: "gcp-1", At: time.Unix(2000, 0)},
	}
	text := string(status.Metrics("office-1", r, o, status.Judge(r, o)))
	for _, line := range []string{
		`wgmesh_made_seconds{router="office-1",what="private_key"} 1000`,
		`wgmesh_made_seconds{router="office-1",what="preshared_key",peer="gcp-1"} 2000`,
		`wgmesh_reboot_required{router="office-1"} 0`,
	} {
		assert.Contains(t, text, "\n"+line+"\n")
	}
}
