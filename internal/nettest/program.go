package nettest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/birdc"
	"github.com/wgmesh/router/pkg/socket"
)

// WireGuard adds an interface of WireGuard: the kernel's where it has one, as wg-quick
// chooses, else one of wireguard-go, whose process it returns.
func (n Namespace) WireGuard(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	if exec.Command("ip", "-n", n.Name, "link", "add", name, "type", "wireguard").Run() == nil {
		return nil
	}
	return n.Userspace(t, name)
}

// Userspace adds an interface of wireguard-go, which is slower and tells less.
func (n Namespace) Userspace(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	Need(t, "wireguard-go")
	cmd := n.Start(t, "wireguard-go", "-f", name)
	Eventually(t, "wireguard-go listens", func() string {
		if _, err := os.Stat(socket.Userspace(name)); err != nil {
			return err.Error()
		}
		return ""
	})
	return cmd
}

// Key gives an interface of WireGuard a new private key and UDP port 51820, and returns its public key.
func (n Namespace) Key(t testing.TB, name string) string {
	t.Helper()
	return strings.TrimSpace(n.Sh(t, `wg genkey | wg set %[1]s listen-port 51820 private-key /dev/stdin
		wg show %[1]s public-key`, name))
}

// Kind is the WireGuard that wg-quick chooses here: "kernel" or "userspace".
func (n Namespace) Kind(t testing.TB) string {
	t.Helper()
	probe := Unique("probe")
	if exec.Command("ip", "-n", n.Name, "link", "add", probe, "type", "wireguard").Run() != nil {
		Need(t, "wireguard-go")
		return "userspace"
	}
	n.IP(t, "link", "del", probe)
	return "kernel"
}

// Bird runs BIRD in the foreground until the test ends, and waits until it answers.
// What it prints goes to bird.out beside its socket.
func (n Namespace) Bird(t testing.TB, conf, socket string) *exec.Cmd {
	t.Helper()
	Need(t, "bird")
	cmd := n.Command("bird", "-f", "-c", conf, "-s", socket)
	WaitForBird(t, cmd, socket, filepath.Join(filepath.Dir(socket), "bird.out"))
	return cmd
}

// WaitForBird starts a BIRD, waits until it answers, and kills it with the test. What
// it prints goes to a file.
func WaitForBird(t testing.TB, cmd *exec.Cmd, socket, out string) {
	t.Helper()
	log := must.Get(os.Create(out))(t)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
	BirdAnswers(t, socket, out)
}

// BirdAnswers waits until a BIRD answers. Where it does not, the test says what BIRD
// printed into the file out.
func BirdAnswers(t testing.TB, socket, out string) {
	t.Helper()
	Eventually(t, "BIRD answers", func() string {
		if _, err := birdc.Do(t.Context(), socket, "show status"); err != nil {
			text, _ := os.ReadFile(out)
			return err.Error() + " " + string(text)
		}
		return ""
	})
}

// Wgmesh builds a program of ours, "modules" or "modules/cloud", or takes that of
// $WGMESH, where there is no Go.
func Wgmesh(t testing.TB, folder string) string {
	t.Helper()
	if built := os.Getenv("WGMESH"); built != "" {
		return built
	}
	binary := filepath.Join(t.TempDir(), "wgmesh")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/wgmesh/router/"+folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, cmd)
	return binary
}

// Module runs a module in the namespace, in this process, and returns its result.
func (n Namespace) Module(t testing.TB, m ansible.Module, options any) map[string]any {
	t.Helper()
	raw := must.Get(json.Marshal(options))(t)
	var out bytes.Buffer
	require.NoError(t, n.Inside(func() error {
		m.Run(nil, bytes.NewReader(raw), &out)
		return nil
	}))
	return result(t, out.Bytes())
}

// Result runs a module in this process, alone, and returns its result: one line, and an
// exit status that says the same.
func Result(t testing.TB, m ansible.Module, options any) map[string]any {
	t.Helper()
	raw := must.Get(json.Marshal(options))(t)
	var out bytes.Buffer
	status := m.Run(nil, bytes.NewReader(raw), &out)
	res := result(t, out.Bytes())
	require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")), "%s", out.Bytes())
	require.Equal(t, res["failed"] == true, status == 1, "%s", out.Bytes())
	return res
}

// Ask runs a program with a module's options, as Ansible does, and returns its result.
func Ask(t testing.TB, cmd *exec.Cmd, options any) map[string]any {
	t.Helper()
	cmd.Stdin = bytes.NewReader(must.Get(json.Marshal(options))(t))
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	return result(t, out)
}

func result(t testing.TB, out []byte) (res map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(out, &res), "%s", out)
	return res
}
