package status_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cause"
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

	o.UndoFails = "put back /x: no space left"
	assert.Equal(t, "a change, 30 s old, cannot be taken back (put back /x: no space left): "+
		"mend that, it is tried again",
		status.Notes(r, o)[0])

	o.Made, o.Reboot, o.FailoverRuns = nil, "", true
	assert.Empty(t, status.Notes(r, o))
	o.FailoverFails = "rtb-a: denied"
	assert.Equal(t, []string{"wgmesh-failover tries in vain (rtb-a: denied): see journalctl -u wgmesh-failover"},
		status.Notes(r, o))
	assert.Equal(t, status.FailoverState{Runs: true, Trouble: "wgmesh-failover tries in vain (rtb-a: denied)"},
		status.FailoverOf(r, o), "nobody is drained beside it")
	assert.True(t, status.Judge(r, o).Healthy() == healthy, "a warning is not red")
}

// The file of the daemon is written by another play than the one that changes the plan.
func TestOlderPlan(t *testing.T) {
	session := func(name, tunnel string) plan.FailoverPeer {
		at := plan.BFDSession{Interface: tunnel, Address: netip.MustParseAddr("198.18.7.1")}
		return plan.FailoverPeer{Name: name, BFDSession: at}
	}
	networks := must.Prefixes
	planned := func() plan.Failover {
		return plan.Failover{
			Router: "aws-1", Prefixes: networks("10.0.0.0/16", "10.1.0.0/16"),
			Tables: []string{"rtb-a", "rtb-b"}, After: 300,
			Peers: []plan.FailoverPeer{session("gcp-1", "wg7"), session("office-1", "wg8")},
			Partners: []plan.FailoverPartner{{
				FailoverPeer: session("aws-2", "wg9"), Tables: []string{"rtb-c", "rtb-d"},
				Before: []string{"aws-3", "aws-4"},
			}},
		}
	}
	for name, test := range map[string]struct {
		change func(*plan.Failover)
		what   string // empty: nothing
		do     string
	}{
		"the same": {func(*plan.Failover) {}, "", ""},
		"in another order": {func(f *plan.Failover) {
			for _, list := range [][]string{f.Tables, f.Partners[0].Tables, f.Partners[0].Before} {
				slices.Reverse(list)
			}
			slices.Reverse(f.Prefixes)
			slices.Reverse(f.Peers)
		}, "", ""},
		"a new network": {func(f *plan.Failover) { f.Prefixes = f.Prefixes[1:] }, "network 10.0.0.0/16", ""},
		"a network that left": {func(f *plan.Failover) {
			f.Prefixes = append(f.Prefixes, networks("10.9.0.0/16")...)
		}, "network 10.9.0.0/16", ""},
		"a new table":    {func(f *plan.Failover) { f.Tables = f.Tables[:1] }, "table rtb-b", ""},
		"a new router":   {func(f *plan.Failover) { f.Peers = f.Peers[:1] }, "peer office-1", ""},
		"another tunnel": {func(f *plan.Failover) { f.Peers[0].Interface = "wgm7" }, "peer gcp-1", ""},
		"another BFD":    {func(f *plan.Failover) { f.After = 100 }, "BFD's interval", ""},
		"a new partner":  {func(f *plan.Failover) { f.Partners = nil }, "partner aws-2", " without --limit"},
		"its new table":  {func(f *plan.Failover) { f.Partners[0].Tables = nil }, "partner aws-2", " without --limit"},
		"another address": {func(f *plan.Failover) {
			f.Partners[0].Address = netip.MustParseAddr("10.9.9.9")
		}, "partner aws-2", " without --limit"},
		"nothing at all": {
			func(f *plan.Failover) { *f = plan.Failover{} },
			"BFD's interval, network 10.0.0.0/16, network 10.1.0.0/16 and 5 more", " without --limit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, o := night()
			want := planned()
			r.FailoverPlan, o.FailoverRuns, o.Watched = &want, true, planned()
			test.change(&o.Watched)
			notes, trouble := []string{}, ""
			if test.what != "" {
				trouble = "wgmesh-failover watches an older plan (" + test.what + ")"
				notes = append(notes, trouble+": run wgmesh.router.routes"+test.do)
			}
			assert.Equal(t, notes, status.Notes(r, o))
			assert.Equal(t, status.FailoverState{Runs: true, Trouble: trouble}, status.FailoverOf(r, o))
			assert.LessOrEqual(t, len(strings.Join(notes, "")), cause.Most)
			o.FailoverRuns = false
			assert.Equal(t, status.FailoverState{Trouble: "wgmesh-failover does not run"}, status.FailoverOf(r, o))
		})
	}
	r, o := night()
	r.FailoverPlan = &plan.Failover{Tables: []string{"rtb-a"}}
	assert.Equal(t, status.FailoverState{}, status.FailoverOf(r, o), "it has no tunnel to another site")
	o.FailoverRuns, o.Watched = true, planned()
	r.FailoverPlan = &plan.Failover{}
	assert.Len(t, status.Notes(r, o), 1, "a site that has no tables any more")
	r.FailoverPlan, r.Failover = nil, true
	assert.Empty(t, status.Notes(r, o), "nobody says what is planned")
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
	date := " in the future (" + far.UTC().Format(time.DateOnly) + ")"
	const wrong = ": the clock was wrong then; make "
	assert.Equal(t, []string{
		"the private key was made" + date + wrong + "a new one (docs/at-night.md)",
		"the image was made" + date + wrong + "a new one, or upgrade its packages (docs/rolling.md)",
		"pre-shared keys were made" + date + ", 2 of them, the first is that of gcp-1" + wrong +
			"new ones (docs/at-night.md)",
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

func TestAgedNotes(t *testing.T) {
	r, o := night()
	healthy := status.Judge(r, o).Healthy()
	o.OtherBuild = []string{plan.JoinProgram, plan.JoinCloud, plan.FailoverProgram}
	o.AnsibleDead, o.ClockFree = true, true
	notes := status.Notes(r, o)
	assert.Equal(t, []string{
		"it joins by itself with another build (/usr/local/bin/wgmesh) than this collection's: " +
			"run wgmesh.router.upgrade",
		"wgmesh-failover is another build (/usr/local/bin/wgmesh-cloud) than this collection's: " +
			"run wgmesh.router.routes",
		"/opt/wgmesh/ansible has lost its Python, so it cannot join by itself: run wgmesh.router.image for this router",
		"nothing keeps its clock right, as the kernel says (STA_UNSYNC): " +
			"look at chronyc tracking, and for rtcsync in chrony.conf",
	}, notes)
	for _, note := range notes {
		assert.LessOrEqual(t, len(note), cause.Most)
	}
	assert.Equal(t, healthy, status.Judge(r, o).Healthy(), "a warning is not red")
	r.ImageWarn = day
	assert.Equal(t, "the image play has not come to its end here (no /etc/wgmesh/image): run wgmesh.router.image",
		status.Notes(r, o)[0])
	r.ImageWarn = 0
	o.OtherBuild = o.OtherBuild[1:]
	assert.Contains(t, status.Notes(r, o)[0], "(/usr/local/libexec/wgmesh-cloud)", "a run was cut off between the two")
}

func TestRebootBy(t *testing.T) {
	for _, tt := range []struct {
		name, running, files, want string // boot/vmlinuz- goes before each file that names no folder
	}{
		{"nothing is known", "", "", ""},
		{"Debian, the newest runs", "6.1.0-28-amd64", "6.1.0-28-amd64 6.1.0-9-amd64", ""},
		{
			"Debian, a newer one is there", "6.1.0-9-amd64", "6.1.0-28-amd64 6.1.0-9-amd64",
			"/boot/vmlinuz-6.1.0-28-amd64, and 6.1.0-9-amd64 runs",
		},
		{
			"a backport", "6.1.0-28-amd64", "6.1.0-28-amd64 6.12.9+bpo-amd64",
			"/boot/vmlinuz-6.12.9+bpo-amd64, and 6.1.0-28-amd64 runs",
		},
		{"another flavour", "6.1.0-9-cloud-amd64", "6.1.0-28-amd64 6.1.0-9-cloud-amd64", ""},
		{
			"Ubuntu's flag goes first", "6.8.0-40-generic", "run/reboot-required 6.8.0-40-generic",
			"/run/reboot-required",
		},
		{
			"EL", "5.14.0-427.13.1.el9_4.x86_64",
			"5.14.0-427.13.1.el9_4.x86_64 5.14.0-503.11.1.el9_5.x86_64 0-rescue-2f1",
			"/boot/vmlinuz-5.14.0-503.11.1.el9_5.x86_64, and 5.14.0-427.13.1.el9_4.x86_64 runs",
		},
		{
			"EL, an update of the same", "5.14.0-427.el9.x86_64",
			"5.14.0-427.el9.x86_64 5.14.0-427.13.1.el9_4.x86_64",
			"/boot/vmlinuz-5.14.0-427.13.1.el9_4.x86_64, and 5.14.0-427.el9.x86_64 runs",
		},
		{
			"EL, one for debugging", "5.14.0-427.el9.x86_64",
			"5.14.0-427.el9.x86_64 5.14.0-503.el9.x86_64+debug", "",
		},
		{"modules without a kernel", "6.1.0-9-amd64", "6.1.0-9-amd64 lib/modules/6.1.0-28-amd64/modules.dep", ""},
		{"a container", "6.8.0-40-generic", "6.11.0-1-generic boot/vmlinuz-", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			put := func(path, text string) {
				path = filepath.Join(root, path)
				must.Write(t, path, text, 0o600)
			}
			for f := range strings.FieldsSeq(tt.files) {
				if !strings.Contains(f, "/") {
					f = "boot/vmlinuz-" + f
				}
				put(f, "")
			}
			if tt.running != "" {
				put("proc/sys/kernel/osrelease", tt.running+"\n")
			}
			assert.Equal(t, tt.want, status.RebootBy(root))
		})
	}
}

// What a router calls its own address is asked only inside the networks of its
// site, so that it cannot have others ask somebody else.
func TestConfine(t *testing.T) {
	target := func(name, address string) status.Target {
		return status.Target{Name: name, Address: netip.MustParseAddr(address)}
	}
	r := status.Request{
		Tunnels: []plan.StatusTunnel{
			{Name: "wg1", Peer: "azure-1", Networks: must.Prefixes("10.1.0.0/16", "2001:db8:1::/48")},
			{Name: "wg2", Peer: "old-1"}, // by a plan that does not say it
		},
		Reach: []status.Target{
			target("azure-1", "10.1.0.4"), target("azure-1", "203.0.113.9"),
			target("azure-1", "10.2.0.4"), target("azure-1", "2001:db8:1::4"),
			target("azure-1", "2001:db8:2::4"), target("azure-1", "::ffff:203.0.113.9"), target("azure-1", "127.0.0.1"),
			target("old-1", "192.0.2.1"), target("office-1", "10.0.0.4"),
		},
	}
	assert.Equal(t, []status.Target{
		target("azure-1", "203.0.113.9"), target("azure-1", "10.2.0.4"),
		target("azure-1", "2001:db8:2::4"), target("azure-1", "::ffff:203.0.113.9"), target("azure-1", "127.0.0.1"),
	}, r.Confine())
	assert.Equal(t, []status.Target{
		target("azure-1", "10.1.0.4"), target("azure-1", "2001:db8:1::4"),
		target("old-1", "192.0.2.1"), target("office-1", "10.0.0.4"),
	}, r.Reach)
	assert.Empty(t, r.Confine())
}

// What worked is known by its tunnel too: the change may give it another name.
func TestBefore(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "bird.ctl")
	l := must.Get(net.Listen("unix", socket))(t)
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, "0001 BIRD 2.0.12 ready.\n")
				for in := bufio.NewScanner(conn); in.Scan(); {
					_, _ = io.WriteString(conn, map[string]string{
						"show protocols all": "1002-azure_1 BGP --- up 11:21:44.295 Established\n" +
							"1006-  BGP state: Established\n" +
							"1002-aws_1 BGP --- start 11:21:44.295 Active\n1006-  BGP state: Active\n",
					}[in.Text()]+"0000 \n")
				}
			}()
		}
	}()
	address := netip.MustParseAddr("100.64.0.1")
	before := must.Get(status.ObserveBefore(t.Context(), status.Request{Socket: socket, Tunnels: []plan.StatusTunnel{
		{Name: "no-wg20", Peer: "azure-1", Neighbor: "azure_1", Address: address},
		{Name: "no-wg21", Peer: "aws-1", Neighbor: "aws_1", Address: address.Next()},
	}}))(t)
	assert.Equal(t, status.Before{
		Worked: []string{"azure-1"}, Silent: []string{"azure-1"}, Routed: []netip.Prefix{},
		Over: []status.End{{Peer: "azure-1", Name: "no-wg20", Address: address}},
	}, before)
}
