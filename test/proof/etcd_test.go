//go:build lab

package proof_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
)

// A cluster is an etcd with a member on each node of the clouds, as the databases of the
// case are placed: two in Azure, two in AWS, one in GCP.
type cluster struct {
	aCase
	members []string
}

// TestFailoverEtcd has a client write numbers to a cluster of five, one after the other,
// while fault after fault is made: make etcd. The disk is not tested: hosts of a lab are
// containers, and what they had written is there after a power cut.
func TestFailoverEtcd(t *testing.T) {
	o := chosen(t)
	o.bfd = o.bfd[:1]
	c := up(t, "etcd", "examples/field-case/inventory.yml").theCase(t)
	c.mesh(t, "-e", "mesh_bfd="+o.bfd[0])
	k := c.etcd(t)
	p := newPaper(t, c, "etcd", o.String(), len(o.only) == len(kinds))
	p.head = append(p.head, "etcd "+strings.Fields(k.in(t, k.members[0], "/root/etcd --version"))[2]+
		", its defaults (heartbeat 100 ms, election 1 s), members on "+
		strings.Join(k.members, ", ")+"; the client at the office, or at GCP while the office is off")
	sheet := p.etcd(o.bfd[0])
	list := o.events(c)
	for n, e := range list {
		t.Run(fmt.Sprintf("%d of %d, run %d: %s %s", n+1, len(list), e.run, e.kind, e.name), func(t *testing.T) {
			r := k.suffer(t, e, fmt.Sprintf("e%d", n))
			sheet.add(r)
			t.Logf("%d writes acknowledged, %d of them lost, longest pause %d ms, %d elections",
				r.acked, r.lost, r.gap.Milliseconds(), r.elections)
		})
		p.write(t)
	}
}

// etcd brings Debian's etcd to the nodes and begins the cluster.
func (c aCase) etcd(t *testing.T) cluster {
	t.Helper()
	k := cluster{aCase: c}
	for _, n := range c.nodes {
		if c.hosts[n].Site != "office" {
			k.members = append(k.members, n)
		}
	}
	folder := t.TempDir()
	download := exec.CommandContext(t.Context(), "sh", "-c",
		"chmod 755 . && apt-get -q download etcd-server && dpkg-deb -x etcd-server_*.deb .")
	download.Dir = folder
	must.Run(t, download)
	text, err := c.command(t, 5*time.Minute, "go", "build", "-o", filepath.Join(folder, "writer"), "./test/etcd")
	require.NoError(t, err, text)
	for _, n := range c.nodes {
		c.put(t, filepath.Join(folder, "writer"), n, "/root/writer")
		if slices.Contains(k.members, n) {
			c.put(t, filepath.Join(folder, "usr/bin/etcd"), n, "/root/etcd")
			k.run(t, n)
		}
	}
	k.waitMembers(t)
	return k
}

// put copies a program to a host.
func (c aCase) put(t *testing.T, file, host, path string) {
	t.Helper()
	f := must.Get(os.Open(file))(t)
	defer f.Close()
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.root, "build/lab-tool"), "exec",
		"--name", c.name, host, "cat >"+path+" && chmod 755 "+path)
	cmd.Dir, cmd.Stdin = c.root, f
	must.Run(t, cmd)
}

func (k cluster) url(node string, port int) string {
	return fmt.Sprintf("http://%s:%d", k.hosts[node].Address, port)
}

func (k cluster) urls() string {
	var all []string
	for _, m := range k.members {
		all = append(all, k.url(m, 2379))
	}
	return strings.Join(all, ",")
}

// run starts a member, with the data that it has.
func (k cluster) run(t *testing.T, node string) {
	t.Helper()
	var all []string
	for _, m := range k.members {
		all = append(all, m+"="+k.url(m, 2380))
	}
	peer, client := k.url(node, 2380), k.url(node, 2379)
	k.in(t, node,
		fmt.Sprintf(
			"setsid /root/etcd --name %s --data-dir /root/data --initial-cluster %s --listen-peer-urls %s "+
				"--initial-advertise-peer-urls %s"+
				" --listen-client-urls %s --advertise-client-urls %s >>/root/etcd.log 2>&1 </dev/null &", node,
			strings.Join(all, ","), peer, peer, client, client))
}

// waitMembers waits until every member has the same leader.
func (k cluster) waitMembers(t *testing.T) (leader string, term int) {
	t.Helper()
	require.Eventually(t, func() bool {
		seen := map[string]bool{}
		for _, m := range k.members {
			out, err := k.try(t, "exec", m, "/root/writer state "+k.url(m, 2379))
			said := strings.Fields(out) // a member without a leader leaves it out
			if err != nil || len(said) != 2 {
				return false
			}
			seen[strings.TrimSpace(out)] = true
			leader = said[0]
			term, _ = strconv.Atoi(said[1])
		}
		return len(seen) == 1 && leader != "0"
	}, 2*time.Minute, 200*time.Millisecond, "the members have no leader")
	return leader, term
}

// suffer lets a fault happen while numbers are written.
func (k cluster) suffer(t *testing.T, e event, prefix string) result {
	t.Helper()
	k.waitWhole(t)
	leader, term := k.waitMembers(t)
	r := result{kind: e.kind, load: load()}
	if e.alone != "" {
		r.kind += "-alone"
	}
	client := "node-office-hq"
	if slices.Contains(e.off, client) {
		client = "node-gcp-b"
	}
	writer := k.start(t, client, "/root/writer", "write", k.urls(), prefix)
	goOn := func() {
		since := time.Now()
		require.Eventually(t, func() bool {
			list := acknowledged(writer.out.String())
			return len(list) > 0 && list[len(list)-1].At.After(since)
		}, time.Minute, 100*time.Millisecond, "nothing is acknowledged, and a majority is there")
	}
	goOn()
	time.Sleep(time.Second + time.Duration(e.dice.IntN(1000))*time.Millisecond)
	made := time.Now()
	e.make(t)
	if !e.mends {
		time.Sleep(3 * time.Second)
		goOn()
	}
	e.mend(t)
	for _, host := range e.off {
		if slices.Contains(k.members, host) {
			k.run(t, host)
		}
	}
	k.waitWhole(t)
	now, after := k.waitMembers(t)
	goOn()
	writer.end()

	r.elections = after - term
	if now != leader {
		r.leaders = 1
	}
	k.compare(t, acknowledged(writer.out.String()), client, prefix, made, &r)
	return r
}

// compare counts what was acknowledged and what of it is not there, and says how long
// nothing was acknowledged since a moment.
func (k cluster) compare(t *testing.T, list []outage.Answer, client, prefix string, since time.Time, r *result) {
	t.Helper()
	r.acked = len(list)
	there := map[string]bool{}
	for _, n := range strings.Fields(k.in(t, client, "/root/writer read "+k.urls()+" "+prefix)) {
		there[n] = true
	}
	var late []outage.Answer
	for _, a := range list {
		if a.At.After(since.Add(-time.Second)) {
			late = append(late, a)
		}
		if !there[strconv.Itoa(a.Number)] {
			r.lost++
		}
	}
	from, to := outage.Longest(late)
	r.gap = to.Sub(from)
	assert.Zero(t, r.lost, "writes that were acknowledged and are not there")
}

// acknowledged reads what the writer has printed.
func acknowledged(text string) (out []outage.Answer) {
	for line := range strings.Lines(text) {
		var n int
		var micros int64
		if strings.HasSuffix(line, "\n") {
			if read, _ := fmt.Sscan(line, &n, &micros); read == 2 {
				out = append(out, outage.Answer{Number: n, At: time.UnixMicro(micros)})
			}
		}
	}
	return out
}

// etcd is the sheet of make etcd.
func (p *paper) etcd(bfd string) *sheet {
	s := &sheet{title: "mesh_bfd: " + bfd, paper: p, rows: (*sheet).writes, notes: func(*sheet) []string { return nil }}
	p.sheets = append(p.sheets, s)
	return s
}

// writes are the rows of make etcd.
func (s *sheet) writes() [][]string {
	rows := [][]string{{
		"fault", "times", "writes", "lost", "longest pause ms: p50", "p99", "max", "elections", "leader moved",
	}}
	for _, k := range rowKinds() {
		list := s.of(k[0])
		if len(list) == 0 {
			continue
		}
		var pauses []int64
		var sum result
		for _, r := range list {
			pauses = append(pauses, r.gap.Milliseconds())
			sum.acked, sum.lost = sum.acked+r.acked, sum.lost+r.lost
			sum.elections, sum.leaders = sum.elections+r.elections, sum.leaders+r.leaders
		}
		rows = append(rows, []string{
			k[1], fmt.Sprint(len(list)), fmt.Sprint(sum.acked), fmt.Sprint(sum.lost),
			fmt.Sprint(outage.Quantile(pauses, 0.5)),
			fmt.Sprint(outage.Quantile(pauses, 0.99)), fmt.Sprint(outage.Quantile(pauses, 1)),
			fmt.Sprint(sum.elections), fmt.Sprint(sum.leaders),
		})
	}
	return rows
}
