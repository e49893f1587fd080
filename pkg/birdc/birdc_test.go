package birdc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/birdc"
)

// fakeBird listens on a socket of its own and answers each command by answer;
// an empty answer is silence.
func fakeBird(t *testing.T, greeting string, answer map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bird.ctl")
	l := must.Get(net.Listen("unix", path))(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, greeting)
				for in := bufio.NewScanner(conn); in.Scan(); {
					_, _ = io.WriteString(conn, answer[in.Text()])
				}
			}()
		}
	}()
	return path
}

func TestCommand(t *testing.T) {
	path := fakeBird(t, "0001 BIRD 2.0.12 ready.\n", map[string]string{
		"configure confirm": "0019 Nothing to do\n",
		"show protocols":    "2002-Name  Proto\n1002-azure_1 BGP\n gcp_1  BGP\n+async\n0000 \n",
		"nonsense":          "9001 syntax error\n",
	})
	c := must.Get(birdc.Dial(t.Context(), path))(t)
	defer func() { _ = c.Close() }()

	reply := must.Get(c.Command(t.Context(), "configure confirm"))(t)
	assert.Equal(t, 19, reply.Code())
	assert.Equal(t, "Nothing to do", reply.Text())

	reply = must.Get(c.Command(t.Context(), "show protocols"))(t)
	assert.Equal(t,
		[]birdc.Line{{2002, "Name  Proto"}, {1002, "azure_1 BGP"}, {1002, "gcp_1  BGP"}, {0, ""}}, reply.Lines)
	assert.True(t, reply.Has(7, 1002))
	assert.False(t, reply.Has(1003))

	_, err := c.Command(t.Context(), "nonsense")
	var refused *birdc.Error
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, 9001, refused.Code)
	assert.EqualError(t, err, `bird refused "nonsense": 9001 syntax error`)

	assert.ErrorContains(t, must.Err(c.Command(t.Context(), "show status\nconfigure")), "one line")
}

func TestDialSaysThatNothingListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent.ctl")
	_, err := birdc.Dial(t.Context(), path)
	require.ErrorIs(t, err, birdc.ErrNotRunning)
	assert.ErrorContains(t, err, path)
}

func TestDialRefusesWhatIsNotBird(t *testing.T) {
	_, err := birdc.Dial(t.Context(), fakeBird(t, "SSH-2.0-OpenSSH_9.2\n", nil))
	assert.ErrorContains(t, err, "not a BIRD reply line")
	_, err = birdc.Dial(t.Context(), fakeBird(t, "0008 busy\n", nil))
	assert.ErrorContains(t, err, "expected greeting 0001")
}

func TestCommandEndsWithItsContext(t *testing.T) {
	path := fakeBird(t, "0001 ready\n", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, must.Err(birdc.Do(ctx, path, "show status")), context.DeadlineExceeded)
}

func TestReadReplyRefusesTornReplies(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"cut off":            {"1002-azure_1\n", "middle of a reply"},
		"no code":            {"hello there\n", "not a BIRD reply line"},
		"space without code": {" text\n", "not a BIRD reply line"},
		"short":              {"0000\n", "not a BIRD reply line"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, must.Err(birdc.ReadReply(bufio.NewReader(strings.NewReader(tt.in)))), tt.want)
		})
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add("0001 BIRD 2.0.12 ready.\n")
	f.Add("2002-Name\n1002-a\n b\n+x\n0000 \n")
	f.Add("0002-Reading configuration from /etc/bird/bird.conf\n0003 Reconfigured\n")
	f.Add("8002 /tmp/x.conf:3:1 syntax error\n")
	f.Fuzz(func(t *testing.T, in string) {
		reply, err := birdc.ReadReply(bufio.NewReader(strings.NewReader(in)))
		if err != nil {
			return
		}
		require.NotEmpty(t, reply.Lines)
		for _, l := range reply.Lines {
			assert.True(t, l.Code >= 0 && l.Code <= 9999)
			assert.NotContains(t, l.Text, "\n")
		}
		assert.Equal(t, reply.Lines[len(reply.Lines)-1].Code, reply.Code())
	})
}

// The kernel accepts connections for a BIRD that is stopped, and nobody answers.
func TestABirdThatIsSilentIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, must.Err(birdc.Dial(context.Background(), fakeBird(t, "", nil))), birdc.ErrSilent)

	c := must.Get(birdc.Dial(context.Background(), fakeBird(t, "0001 BIRD 2.0.12 ready.\n", nil)))(t)
	defer func() { _ = c.Close() }()
	require.ErrorIs(t, must.Err(c.Command(context.Background(), "show status")), birdc.ErrSilent)
}

// A BIRD that is stopped accepts nobody. Whoever comes after some that have given up is refused by the
// kernel, and that does not say that no BIRD runs.
func TestABirdWithAFullQueueRuns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bird.ctl")
	fd := must.Get(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))(t)
	defer func() { _ = unix.Close(fd) }()
	require.NoError(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	require.NoError(t, unix.Listen(fd, 0))
	waiting := must.Get(net.Dial("unix", path))(t)
	defer func() { _ = waiting.Close() }()

	err := must.Err(birdc.Dial(t.Context(), path))
	require.NotErrorIs(t, err, birdc.ErrNotRunning)
	require.ErrorIs(t, err, birdc.ErrSilent)
}

// What keeps us from asking says nothing about BIRD.
func TestDialSaysWhyItCannotAsk(t *testing.T) {
	loop := filepath.Join(t.TempDir(), "loop")
	require.NoError(t, os.Symlink(loop, loop))
	err := must.Err(birdc.Dial(t.Context(), loop))
	require.NotErrorIs(t, err, birdc.ErrNotRunning)
	assert.ErrorContains(t, err, "too many levels of symbolic links")
}

func TestParseBFD(t *testing.T) {
	got := birdc.ParseBFD(string(must.Get(os.ReadFile("testdata/bird-2.0.12-bfd.txt"))(t)))
	require.Len(t, got, 3)
	assert.Equal(t, "172.31.21.1 sg0b Down", got[0].Address.String()+" "+got[0].Interface+" "+got[0].State)
	assert.Equal(t, "172.31.20.1 sg0 Up", got[1].Address.String()+" "+got[1].Interface+" "+got[1].State)
	assert.Empty(t, birdc.ParseBFD(string(must.Get(os.ReadFile("testdata/bird-2.0.12-bfd-off.txt"))(t))))
}

func FuzzParseBFD(f *testing.F) {
	f.Add(string(must.Get(os.ReadFile("testdata/bird-2.0.12-bfd.txt"))(f)))
	f.Add("fe80::1%wg0 wg0 Up\n1.2.3.4\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range birdc.ParseBFD(text) {
			require.True(t, s.Address.IsValid())
			require.NotEmpty(t, s.State)
		}
	})
}

func TestNumbers(t *testing.T) {
	for version, want := range map[string][]int{
		"2.0.12":                 {2, 0, 12},
		"3.1":                    {3, 1},
		"2.17.6+branch":          {2, 17, 6},
		"2.18-rc.1":              {2, 18},
		"2.":                     {2},
		"v2.0":                   nil,
		"-2.0":                   nil,
		"":                       nil,
		"99999999999999999999.1": nil,
	} {
		assert.Equal(t, want, birdc.Numbers(version), version)
	}
}

func TestDeaf(t *testing.T) {
	deaf := func(since, read string) []string {
		return birdc.Deaf("BIRD 3.1.8\nCurrent server time is 2026-11-30 14:23:07.620\nLast reconfiguration on "+read+
			"\nDaemon is up and running", strings.ReplaceAll(
			"Name       Proto      Table      State  Since         Info\n"+
				"device1    Device     ---        up     2026-11-01    \n"+
				"site6_ab   Static     master6    up     AT  \n"+
				"  Channel ipv6\n"+
				"site4_ab   Static     master4    up     AT  \n"+
				"site4      Static     master4    up     2026-11-01  \n"+ // BIRD 2 does not forget
				"site4_ac   Static     master4    down   2026-11-01  \n"+
				"site4_x    BGP        ---        up     2026-11-01    Established\n", "AT", since))
	}
	both := []string{"site4_ab", "site6_ab"}
	for _, c := range []struct {
		since, read string
		want        []string
	}{
		{"14:23:05.684", "2026-11-30 14:23:05.684", nil}, // both are of one reading
		{"14:23:05.684", "2026-11-30 14:23:05.720", nil},
		{"14:23:05.684", "2026-11-30 14:23:07.655", both},
		{"14:23:07.700", "2026-11-30 14:23:07.650", nil},
		{"20:00:00.000", "2026-11-29 20:00:00.010", nil}, // of yesterday
		{"20:00:00.000", "2026-11-29 21:00:00", both},
		{"2026-11-28", "2026-11-28 23:59:59.900", nil}, // nobody knows
		{"2026-11-28", "2026-11-29 00:00:00.000", both},
		{"14:23:05.684", "never", nil},
		{"later", "2026-11-30 14:23:07.655", nil},
	} {
		assert.Equal(t, c.want, deaf(c.since, c.read), c)
	}
}

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
