package failover_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/cloud"
	"github.com/wgmesh/router/pkg/failover"
)

// rig is a daemon with a BIRD and a cloud of the test's own.
type rig struct {
	mu    sync.Mutex
	up    string
	heard []string // failures, as they changed
	rests string   // the tables of which nothing is left to do
	calls map[string]int
	looks map[string]int
	gone  []netip.Prefix
	fails map[string]error
	// The networks that fail, and those that the last call was about.
	failed, only map[string][]netip.Prefix
	whole        int             // calls about all of rtb-a
	slows        map[string]bool // answers when the caller has given up
	out          strings.Builder
	ended        chan struct{}
}

// alone does something while the daemon does nothing.
func (r *rig) alone(do func()) { r.mu.Lock(); defer r.mu.Unlock(); do() }

func (r *rig) see(up string)              { r.alone(func() { r.up = up }) }
func (r *rig) fail(table string, e error) { r.alone(func() { r.fails[table] = e }) }
func (r *rig) slow(table string)          { r.alone(func() { r.slows[table] = true }) }

// said is the journal, without how long things took.
func (r *rig) said() (text string) {
	r.alone(func() { text = seconds.ReplaceAllString(r.out.String(), "TIME") })
	return text
}

var seconds = regexp.MustCompile(`\d+\.\d\d s`)

func (r *rig) called(table string) (n int) { r.alone(func() { n = r.calls[table] }); return n }

func (r *rig) Write(p []byte) (int, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.out.Write(p) }

func (r *rig) look(context.Context) (s *failover.Seen) { r.alone(func() { s = seen(r.up) }); return s }

// Gone is what of a partner's table goes to a router that is gone.
func (r *rig) Gone(_ context.Context, table string) ([]netip.Prefix, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks[table]++
	return r.gone, nil
}

// Take changes the table at the first call that does not fail.
func (r *rig) Take(ctx context.Context, table string, only []netip.Prefix) ([]string, []netip.Prefix, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[table]++
	if r.slows[table] {
		r.mu.Unlock()
		<-ctx.Done()
		r.mu.Lock()
		return nil, nil, ctx.Err()
	}
	r.only[table] = only
	if table == "rtb-a" && only == nil {
		r.whole++
	}
	if err := r.fails[table]; err != nil {
		return nil, r.failed[table], err
	}
	if strings.Contains(r.out.String(), table+": moved") {
		return nil, nil, nil
	}
	return []string{table + ": moved"}, nil, nil
}

// start runs a daemon that becomes well at once and is quick.
func start(t *testing.T) (r *rig, stop func()) { t.Helper(); return startAgain(t, time.Hour) }

// startAgain runs one that looks at a partner's tables again after so long.
func startAgain(t *testing.T, again time.Duration, more ...string) (r *rig, stop func()) {
	t.Helper()
	r = &rig{
		calls: map[string]int{}, looks: map[string]int{}, fails: map[string]error{}, slows: map[string]bool{}, up: all,
		failed: map[string][]netip.Prefix{}, only: map[string][]netip.Prefix{},
		ended: make(chan struct{}),
	}
	c := config("aws-1", "rtb-a", append([]string{"aws-2:rtb-c"}, more...)...)
	c.After, c.BackAfter, c.StartAfter = 20, 1, 1
	d := &failover.Daemon{
		Config: c, Look: r.look, Taker: r, Out: r, Every: time.Millisecond, Again: again,
		// so that no attempt is given up because the machine is slow
		Pace: cloud.Pace{First: 5 * time.Millisecond, Most: 10 * time.Millisecond}, Limit: time.Minute,
		Fails: func(failure string) { r.alone(func() { r.heard = append(r.heard, failure) }) },
		Rests: func(tables []string) { r.alone(func() { r.rests = strings.Join(tables, " ") }) },
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { d.Run(ctx); close(r.ended) }()
	stop = func() { cancel(); <-r.ended }
	t.Cleanup(stop)
	return r, stop
}

// wait waits until words are said.
func (r *rig) wait(t *testing.T, words string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return strings.Contains(r.said(), words)
	}, time.Minute, time.Millisecond, "%s\nwas not said in:\n%s", words, r.said())
}

// until waits until something is so. The daemon does nothing while it is asked.
func (r *rig) until(t *testing.T, so func() bool) {
	t.Helper()
	require.Eventually(t, func() (is bool) { r.alone(func() { is = so() }); return is }, time.Minute, time.Millisecond)
}

func TestDaemonMovesOnce(t *testing.T) {
	r, stop := start(t)
	r.wait(t, "well for 1 s: rtb-a: moved (TIME)\n")
	r.see("office-1")
	r.wait(t, "aws-2 is down: taking rtb-c\naws-2 is down: rtb-c: moved (TIME)\n")
	time.Sleep(50 * time.Millisecond)
	assert.Equal(t, 1, r.called("rtb-c"))
	before := r.said()
	stop()
	assert.Equal(t, before, r.said(), "its end changes nothing and says nothing")
}

func TestDaemonTriesUntilItWorks(t *testing.T) {
	r, _ := start(t)
	r.wait(t, "rtb-a: moved")
	r.fail("rtb-c", errors.New("rtb-c: ec2:DescribeRouteTables: connection refused"))
	r.see("office-1")
	r.until(t, func() bool { return r.calls["rtb-c"] > 4 })
	const line = "aws-2 is down, but rtb-c: ec2:DescribeRouteTables: connection refused; trying until it works\n"
	assert.Equal(t, 1, strings.Count(r.said(), line), r.said())
	r.fail("rtb-c", nil)
	r.wait(t, "aws-2 is down: rtb-c: moved (TIME, attempt ")
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Equal(t, "rtb-c: ec2:DescribeRouteTables: connection refused", r.heard[0], "once, not at each attempt")
	assert.LessOrEqual(t, len(r.heard), 2)
}

// Whoever asks for the state of the router hears of a table that cannot be moved while it lasts.
func TestDaemonTellsWhatLasts(t *testing.T) {
	r, _ := start(t)
	become := func(want string) {
		t.Helper()
		r.until(t, func() bool { return append([]string{""}, r.heard...)[len(r.heard)] == want })
	}
	r.wait(t, "rtb-a: moved")
	r.fail("rtb-c", errors.New("denied (request 1)"))
	r.see("office-1")
	become("rtb-c: denied")
	r.see(all) // it is the partner's again
	become("")
	r.see("office-1")
	become("rtb-c: denied")
	r.fail("rtb-c", nil)
	become("")
}

// A drain goes by what rests: a call that hangs has not failed yet, and has moved nothing.
func TestDaemonTellsWhatRests(t *testing.T) {
	r, _ := start(t)
	become := func(want string) {
		t.Helper()
		r.until(t, func() bool { return r.rests == want })
	}
	become("rtb-a")
	r.slow("rtb-c")
	r.see("office-1 aws-2~")
	r.wait(t, "aws-2 is drained: taking rtb-c\n")
	r.until(t, func() bool { return r.calls["rtb-c"] == 1 })
	become("rtb-a")
	r.see(all)
	r.wait(t, "aws-2 is up again\n")
	r.alone(func() { r.slows["rtb-c"] = false })
	r.see("office-1 aws-2~")
	become("rtb-a rtb-c")
	r.see("")
	become("")
}

// Which of two takes a table both know: the other one has nothing to do, and takes what stays a
// black hole.
func TestDaemonLeavesToAnotherOne(t *testing.T) {
	c := config("aws-1", "rtb-a", "aws-2:rtb-c:aws-3", "aws-3:rtb-d")
	w, began := failover.NewWatch(c, time.Now()), time.Now()
	numbers := func(up string) (out []int) {
		orders, _ := w.Step(began, seen(up))
		for _, o := range orders {
			out = append(out, o.Number)
		}
		return out
	}
	assert.Empty(t, numbers(all))
	assert.Equal(t, []int{0, 1}, numbers("office-1 aws-2~ aws-3"), "rtb-c, and rtb-a of its own")
	assert.NotContains(t, numbers("office-1 aws-2~ aws-3~"), 0)

	r, _ := startAgain(t, 30*time.Millisecond, "aws-3:rtb-d,rtb-e:aws-2")
	r.wait(t, "rtb-a: moved")
	r.see("office-1 gcp-1 aws-2")
	r.wait(t, "aws-3 is down: leaving rtb-d, rtb-e to aws-2\n")
	r.until(t, func() bool { return r.rests == "rtb-a rtb-d rtb-e" && r.looks["rtb-d"] > 1 })
	assert.Zero(t, r.called("rtb-d"), "what lives keeps it")
	r.alone(func() { r.gone = must.Prefixes("10.9.0.0/16") })
	r.wait(t, "aws-3 is down: rtb-d: moved (TIME)\n")
	r.see("office-1") // aws-2 does nothing for it any more
	r.until(t, func() bool { return r.only["rtb-e"] == nil && r.calls["rtb-e"] > 0 })
}

// What failed is not said for ever when the order falls before the next job of it ends an attempt.
func TestDaemonForgetsWhatIsCalledOff(t *testing.T) {
	r, _ := startAgain(t, time.Hour, "aws-3:rtb-d")
	r.wait(t, "rtb-a: moved")
	r.fail("rtb-c", errors.New("denied"))
	r.see("office-1 aws-3")
	r.wait(t, "aws-2 is down, but rtb-c: denied; trying until it works\n")
	hangs := func() {
		t.Helper()
		calls := r.called("rtb-c")
		r.until(t, func() bool { return r.calls["rtb-c"] > calls })
	}
	r.slow("rtb-c")
	hangs()
	r.see("office-1") // another partner fell: the order begins anew
	hangs()
	r.see(all)
	r.wait(t, "rtb-c: gave up, it is no longer ours to move\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Equal(t, []string{"rtb-c: denied", ""}, r.heard)
}

// One network of a table goes to somebody else, and stays so: the others are done.
func TestDaemonLeavesAloneWhatIsDone(t *testing.T) {
	r, _ := start(t)
	r.wait(t, "rtb-a: moved")
	foreign := must.Prefixes("10.9.0.0/16")
	r.alone(func() { r.failed["rtb-c"] = foreign })
	r.fail("rtb-c", errors.New("rtb-c: 10.9.0.0/16: it goes to tgw-1 (request 1)"))
	r.see("office-1")
	last := func() (of []netip.Prefix) { r.alone(func() { of = r.only["rtb-c"] }); return of }
	r.until(t, func() bool { return r.calls["rtb-c"] > 2 })
	assert.Equal(t, foreign, last())
	r.fail("rtb-c", errors.New("rtb-c: 10.9.0.0/16: it goes to tgw-1 (request 2)"))
	calls := r.called("rtb-c")
	r.until(t, func() bool { return r.calls["rtb-c"] > calls+2 })
	assert.Equal(t, 1, strings.Count(r.said(), "it goes to tgw-1"), r.said())
	r.alone(func() { delete(r.failed, "rtb-c") }) // not about a network
	r.fail("rtb-c", errors.New("rtb-c: ec2:ReplaceRoute: UnauthorizedOperation"))
	r.wait(t, "aws-2 is down, but rtb-c: ec2:ReplaceRoute: UnauthorizedOperation; trying until it works\n")
	assert.Equal(t, foreign, last())
}

// What somebody moves in a table while one network of it fails is taken back all the same.
func TestDaemonLooksAtAllOfItsOwn(t *testing.T) {
	r, _ := start(t)
	r.wait(t, "rtb-a: moved")
	foreign := must.Prefixes("10.9.0.0/16")
	r.alone(func() { r.failed["rtb-a"], r.whole = foreign, 0 })
	r.fail("rtb-a", errors.New("rtb-a: 10.9.0.0/16: it goes to tgw-1"))
	for _, up := range []string{"office-1", all, "office-1"} { // each fall of the partner is a new order
		before := 0
		r.alone(func() { before = r.whole })
		r.see(up)
		if up != all {
			r.until(t, func() bool { return r.whole > before })
		} else {
			r.wait(t, "aws-2 is up again")
		}
	}
	assert.Equal(t, 1, strings.Count(r.said(), "it goes to tgw-1"), r.said())
}

// The partner comes back while the API does not answer: its tables are its own.
func TestDaemonGivesUpWhatIsNotItsOwn(t *testing.T) {
	r, _ := start(t)
	r.wait(t, "rtb-a: moved")
	r.fail("rtb-c", errors.New("no"))
	r.see("office-1")
	r.wait(t, "trying until it works")
	r.see(all)
	r.wait(t, "rtb-c: gave up, it is no longer ours to move\n")
	calls := r.called("rtb-c")
	r.fail("rtb-c", nil)
	time.Sleep(50 * time.Millisecond)
	assert.Equal(t, calls, r.called("rtb-c"))
}

// What was called off before anything had failed is not worth a line.
func TestDaemonIsCalledOff(t *testing.T) {
	r, _ := start(t)
	r.wait(t, "rtb-a: moved")
	r.slow("rtb-c")
	r.see("office-1")
	r.wait(t, "taking rtb-c\n")
	r.until(t, func() bool { return r.calls["rtb-c"] == 1 })
	r.see(all)
	r.wait(t, "aws-2 is up again")
	time.Sleep(50 * time.Millisecond)
	assert.NotContains(t, r.said(), "gave up")
	assert.NotContains(t, r.said(), "trying until it works")
}

// Ending in the middle of a failure leaves everything as it is.
func TestDaemonEnds(t *testing.T) {
	r, stop := start(t)
	r.fail("rtb-a", errors.New("no"))
	r.wait(t, "trying until it works")
	stop()
	assert.NotContains(t, r.said(), "gave up")
}

func TestEye(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bird.ctl")
	l := must.Get(net.Listen("unix", path))(t)
	bfd := "1020-bfd1:\n IP address  Interface  State  Since  Interval  Timeout\n" +
		" 172.31.0.1  aws-2  Up  08:00:00.000  0.300  0.900\n 172.31.0.1  gcp-1  Down  08:00:00.000  0.300  0.000\n" +
		" 172.31.0.1  office-1  Init  x  1  0\n0000 \n"
	conns := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
			go func() {
				_, _ = io.WriteString(c, "0001 BIRD 2.0.12 ready.\n")
				for in := bufio.NewScanner(c); in.Scan(); {
					answer := bfd
					switch {
					case strings.HasPrefix(in.Text(), "eval "):
						answer = "0023 \n"
					case strings.HasPrefix(in.Text(), "show route where from = 172.31.0.1 && bgp_path.len = 0 && "):
						n := strings.Count(in.Text(), "= true") * 3
						answer = fmt.Sprintf(
							"0014-%d of 9 routes for 3 networks in table master4\n"+
								" Total: 3 of 9 routes for 3 networks in 2 tables\n0000 \n", n)
					}
					_, _ = io.WriteString(c, answer)
				}
			}()
		}
	}()
	c := config("aws-1", "rtb-a", "aws-2:rtb-c", "aws-3:rtb-d")
	c.Socket = path
	eye := failover.NewEye(c)
	defer eye.Close()
	for range 3 {
		assert.Equal(t, seen("aws-2~"), eye.Look(t.Context()))
	}
	assert.Len(t, conns, 1, "it keeps its connection")
	require.NoError(t, (<-conns).Close())
	assert.Nil(t, eye.Look(t.Context()))
	assert.Equal(t, seen("aws-2~"), eye.Look(t.Context()), "it makes a new one")
	require.NoError(t, l.Close())
	require.NoError(t, (<-conns).Close())
	assert.Nil(t, eye.Look(t.Context()))
	assert.Nil(t, eye.Look(t.Context()))
}

// What fails names its table, also where the cloud's words do not.
func TestDaemonSaysWhatHappened(t *testing.T) {
	r, _ := start(t)
	r.wait(t, "well for 1 s: rtb-a: moved")
	r.fail("rtb-c", errors.New("metadata mac: connection refused"))
	r.see("office-1")
	r.wait(t, "aws-2 is down, but rtb-c: metadata mac: connection refused; trying until it works\n")
}

// Of a look after its own tables it says that one had been moved only when it was.
func TestDaemonLooksAfterItsOwn(t *testing.T) {
	for name, tt := range map[string]struct{ err, want string }{
		"moved": {"", "it had been moved: rtb-a: moved (TIME)\n"},
		"fails": {
			"metadata mac: timeout",
			"looking after its own tables, but rtb-a: metadata mac: timeout; trying until it works\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{calls: map[string]int{}, fails: map[string]error{}, only: map[string][]netip.Prefix{}}
			if tt.err != "" {
				r.fail("rtb-a", errors.New(tt.err))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			never := cloud.Pace{First: time.Hour, Most: time.Hour}
			d := &failover.Daemon{Taker: r, Out: r, Pace: never, Limit: time.Minute}
			_ = d.CarryOut(ctx, failover.Order{Table: "rtb-a", Why: "looking after its own tables"})
			assert.Equal(t, tt.want, r.said())
		})
	}
}

// A table of its own is put off while partners come and go, which is not giving it up.
func TestDaemonPutsOff(t *testing.T) {
	r, _ := start(t)
	r.wait(t, "rtb-a: moved")
	r.fail("rtb-a", errors.New("no"))
	r.see("office-1")
	r.wait(t, "aws-2 is down, but rtb-a: no; trying until it works\n")
	r.see(all)
	r.wait(t, "rtb-a: put off until this router is well and its partners unchanged for 1 s\n")
	assert.NotContains(t, r.said(), "gave up")
}

// A partner is down already when what holds its table dies: its routes are black holes.
func TestDaemonTakesBlackholes(t *testing.T) {
	r, _ := startAgain(t, 30*time.Millisecond)
	r.wait(t, "rtb-a: moved")
	r.see("office-1")
	r.wait(t, "aws-2 is down: rtb-c: moved (TIME)\n")
	r.until(t, func() bool { return r.looks["rtb-c"] > 1 })
	calls := r.called("rtb-c")
	assert.Equal(t, 1, calls, "what lives keeps it")
	gone := must.Prefixes("10.9.0.0/16")
	r.alone(func() { r.gone = gone })
	r.until(t, func() bool { return r.calls["rtb-c"] > calls })
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Equal(t, gone, r.only["rtb-c"])
	assert.Nil(t, r.only["rtb-a"])
}

const file = `{
  "router": "aws-2", "cloud": "aws", "mesh": "example", "prefixes": ["10.0.0.0/16", "2001:db8::/48"],
  "tables": ["rtb-0c"], "after": 300,
  "peers": [{"name": "office-1", "interface": "wg11", "address": "172.31.11.1"}],
  "partners": [
    {"name": "aws-1", "interface": "wg15", "address": "172.31.15.1", "tables": ["rtb-0a"], "before": ["aws-3"]},
    {"name": "aws-3", "interface": "wg21", "address": "172.31.21.1", "tables": [], "before": []}
  ]
}
`

func TestParse(t *testing.T) {
	c := must.Get(failover.Parse(strings.NewReader(file)))(t)
	assert.Equal(t, "aws-2", c.Router)
	assert.Equal(t, []int{300, 30, 10}, []int{c.After, c.BackAfter, c.StartAfter})
	assert.Equal(t, "wg15", c.Partners[0].Interface)
	assert.Equal(t, "172.31.11.1", c.Peers[0].Address.String())
	assert.Equal(t, "/run/bird/bird.ctl", c.Socket)
}

func TestParseRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"another word":      {`"after"`, `"afetr"`, `unknown field "afetr"`},
		"an inner word":     {`"before": []`, `"befor": []`, `unknown field "befor"`},
		"not JSON":          {`{`, `[`, "expected the configuration as the role routes writes it"},
		"something follows": {"]\n}\n", "]\n}\n{}", "something follows the configuration"},
		"no name":           {`"aws-2"`, `""`, "router: it is empty"},
		"azure": {
			`"cloud": "aws"`, `"cloud": "azure"`,
			`cloud: "azure": expected aws; on Azure the load balancer's probe`,
		},
		"no mark":     {`"example"`, `""`, "mesh: it is empty"},
		"no prefixes": {`["10.0.0.0/16", "2001:db8::/48"]`, `[]`, "prefixes: there is none"},
		"bits beyond": {
			"10.0.0.0/16", "10.0.0.1/16",
			"prefixes: 10.0.0.1/16: expected a network without bits beyond its length",
		},
		"no address": {
			`"172.31.15.1"`, `""`, "aws-1: expected the interface and the address of its BFD session",
		},
		"no peers": {
			`[{"name": "office-1", "interface": "wg11", "address": "172.31.11.1"}]`, `[]`,
			"peers: there is none",
		},
		"a table of two": {"rtb-0a", "rtb-0c", "tables: rtb-0c is given to aws-2 and to aws-1"},
		"a session of two": {
			`"wg15", "address": "172.31.15.1"`,
			`"wg11", "address": "172.31.11.1"`, "aws-1: its session 172.31.11.1 on wg11 is that of office-1",
		},
		"a name of two": {`"office-1"`, `"aws-1"`, `routers: the name "aws-1" is empty or given twice`},
		"itself before itself": {
			`"before": []`, `"before": ["aws-3"]`, "aws-3: before: aws-3 is none of the other partners",
		},
		"a stranger before it":   {`["aws-3"]`, `["aws-9"]`, "aws-1: before: aws-9 is none of the other partners"},
		"after is a minute":      {`300`, `60001`, "after: 60001: expected 0 to 60000"},
		"back at once":           {`"after": 300`, `"back_after": 0`, "back_after: 0: expected 1 to 86400"},
		"no time to start":       {`"after": 300`, `"start_after": 0`, "start_after: 0: expected 1 to 3600"},
		"a table without a name": {`["rtb-0a"]`, `[""]`, "aws-1: tables: one is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, file, tt.old)
			_, err := failover.Parse(strings.NewReader(strings.Replace(file, tt.old, tt.new, 1)))
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "failover.json")
	_, err := failover.Load(path)
	assert.ErrorContains(t, err, path)
	require.NoError(t, os.WriteFile(path, []byte(`{"x": 1}`), 0o600))
	_, err = failover.Load(path)
	assert.ErrorContains(t, err, path+": ")
	assert.ErrorContains(t, err, `unknown field "x"`)
}

func FuzzParse(f *testing.F) {
	f.Add(file)
	f.Add(`{"peers": [{"address": "fe80::1%eth0"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := failover.Parse(strings.NewReader(text))
		if err == nil {
			assert.NotEmpty(t, c.Peers)
			assert.NotEmpty(t, c.Prefixes)
		}
	})
}
