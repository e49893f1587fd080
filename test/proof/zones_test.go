//go:build lab

package proof_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/internal/outage"
	"github.com/wgmesh/router/pkg/table"
)

// between is how long a packet takes from one zone of a site to another one: 1.5 ms
// there and back, in the middle of what the case measured.
const between = 750 * time.Microsecond

// TestFailoverZones measures every node from every other one while packets between zones
// of a site take longer, once with routers that know their zones and once with routers
// that do not: make zones.
func TestFailoverZones(t *testing.T) {
	c := up(t, "zones", "examples/field-case/inventory.yml").theCase(t)
	c.mesh(t)
	p := newPaper(t, c, "zones", "", true)
	p.head = append(p.head,
		"ms there and back from the node of a row to that of a column: the median of 100 pings of 1272 bytes. "+
			"Sites are next to each other here,",
		fmt.Sprintf(
			"and a packet between two zones of a site is held back by %v at the site's gateway, each way; "+
				"what that comes to: aws-a to aws-c, azure-1 to azure-2", between))
	for _, site := range c.sites {
		c.delay(t, site)
	}
	said := map[string]map[pair]float64{}
	const aware, unaware = "zone-aware: a packet enters by the router of the destination's zone",
		"not zone-aware: routers have no mesh_zone"
	for _, title := range []string{aware, unaware} {
		if title == unaware {
			c.mesh(t, "-i", c.zoneless(t))
		}
		c.waitWhole(t)
		p.loads = append(p.loads, 0)
		p.loads[len(p.loads)-1], _ = strconv.ParseFloat(load(), 64)
		said[title] = c.matrix(t)
		rows := c.drawn(said[title])
		p.sheets = append(p.sheets, &sheet{
			title: title, paper: p,
			rows:  func(*sheet) [][]string { return rows },
			notes: func(*sheet) []string { return nil },
		})
		t.Logf("%s\n%s", title, strings.Join(table.Lines(rows, 160), "\n"))
		p.write(t)
	}
	var cost []float64
	for way, ms := range said[aware] {
		if c.hosts[way.from].Site != c.hosts[way.to].Site {
			cost = append(cost, said[unaware][way]-ms)
		}
	}
	last := p.sheets[len(p.sheets)-1]
	last.notes = func(*sheet) []string {
		return []string{
			fmt.Sprintf(
				"what zones spare a packet between sites, there and back, of %d ways: median %.2f ms, at most %.2f ms",
				len(cost), outage.Quantile(cost, 0.5), outage.Quantile(cost, 1)),
		}
	}
	p.write(t)
	assert.Greater(t, outage.Quantile(cost, 1), 1.0, "no way went through another zone")
}

// zoneless is an inventory that takes their zones from the routers and leaves them the
// gateways that they had by their zones.
func (c aCase) zoneless(t *testing.T) string {
	t.Helper()
	text := "all:\n  children:\n    routers:\n      hosts:\n"
	for _, r := range c.routers {
		text += fmt.Sprintf("        %s: {mesh_zone: '', mesh_gateway: %s}\n", r,
			c.in(t, r, "ip -4 route show default | awk '{print $3}'"))
	}
	file := filepath.Join(t.TempDir(), "zoneless.yml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

var roundTrip = regexp.MustCompile(`time=([\d.]+) ms`)

// matrix is the median of each way, of one pair of nodes at a time.
func (c aCase) matrix(t *testing.T) map[pair]float64 {
	t.Helper()
	out := map[pair]float64{}
	for _, from := range c.nodes {
		for _, to := range c.nodes {
			if from == to {
				continue
			}
			text := c.in(t, from, "ping -n -c 100 -i 0.01 -s "+payload+" "+c.hosts[to].Address)
			var all []float64
			for _, m := range roundTrip.FindAllStringSubmatch(text, -1) {
				ms := must.Get(strconv.ParseFloat(m[1], 64))(t)
				all = append(all, ms)
			}
			require.NotEmpty(t, all, text)
			out[pair{from, to}] = outage.Quantile(all, 0.5)
		}
	}
	return out
}

func (c aCase) drawn(ms map[pair]float64) [][]string {
	short := func(node string) string { return strings.TrimPrefix(node, "node-") }
	head := []string{""}
	for _, n := range c.nodes {
		head = append(head, short(n))
	}
	rows := [][]string{head}
	for _, from := range c.nodes {
		row := []string{short(from)}
		for _, to := range c.nodes {
			cell := "."
			if from != to {
				cell = fmt.Sprintf("%.2f", ms[pair{from, to}])
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// delay has the gateway of a site send what goes from one zone to another through a
// tun device, whose other end holds each packet back for a while. The kernel of the
// machines that run this has no netem.
func (c aCase) delay(t *testing.T, site string) {
	t.Helper()
	ns := "wgmesh-" + c.name + ".site." + site
	var lines []string
	for _, from := range append(c.at(c.routers, site, ""), c.at(c.nodes, site, "")...) {
		for _, to := range append(c.at(c.routers, site, ""), c.at(c.nodes, site, "")...) {
			if c.hosts[from].Zone != c.hosts[to].Zone {
				lines = append(lines,
					fmt.Sprintf("rule add pref 50 iif %s to %s lookup 77", c.port(t, ns, from), c.hosts[to].Address))
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	slow(t, ns)
	for _, line := range append([]string{"link set delay up", "route add default dev delay table 77"}, lines...) {
		inGateway(t, ns, "ip "+line)
	}
	// What was translated before it was held back is not to be looked at again.
	inGateway(t, ns, `nft 'add table ip delay; add chain ip delay back { type filter hook prerouting priority raw; }
		add rule ip delay back iifname delay notrack'`)
}

// port is the gateway's end of a host's link.
func (c aCase) port(t *testing.T, ns, host string) string {
	t.Helper()
	out := inGateway(t, ns, "ip route get "+c.hosts[host].Address)
	_, dev, found := strings.Cut(out, " dev ")
	require.True(t, found, out)
	return strings.Fields(dev)[0]
}

func inGateway(t *testing.T, ns, script string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nsenter", "--net=/run/netns/"+ns, "sh", "-c", script).CombinedOutput()
	require.NoError(t, err, "%s: %s", script, out)
	return string(out)
}

// slow makes the device "delay" in a namespace, and sends what comes out of it back in.
func slow(t *testing.T, ns string) {
	t.Helper()
	made := make(chan error, 1)
	var device *os.File
	go func() { // the thread ends with it, and is never used elsewhere
		runtime.LockOSThread()
		var err error
		device, err = tun(ns)
		made <- err
	}()
	require.NoError(t, <-made)
	t.Cleanup(func() { device.Close() })
	type packet struct {
		bytes []byte
		due   time.Time
	}
	queue := make(chan packet, 10000)
	go func() {
		defer close(queue)
		for {
			p := packet{bytes: make([]byte, 65536)}
			n, err := device.Read(p.bytes)
			if err != nil {
				return
			}
			p.bytes, p.due = p.bytes[:n], time.Now().Add(between)
			queue <- p
		}
	}()
	go func() {
		for p := range queue {
			time.Sleep(time.Until(p.due))
			_, _ = device.Write(p.bytes)
		}
	}()
}

// tun enters a namespace for good and makes the device there.
func tun(ns string) (*os.File, error) {
	space, err := os.Open("/run/netns/" + ns)
	if err != nil {
		return nil, err
	}
	defer space.Close()
	if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq("delay")
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "delay"), nil
}
