package join

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wgmesh/router/pkg/cause"
	"github.com/wgmesh/router/pkg/venv"
)

// A tool is a program of Ansible and how to start it.
type tool struct {
	path string
	args []string
	env  []string // beside what every program of Ansible gets
	dir  string   // its state and temporary files
	out  io.Writer
	err  io.Writer
}

// find looks for a program of Ansible in the folder that an image brings where
// the distribution's Ansible is too old, and then in PATH.
func find(name, dir string) (string, error) {
	if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
		if venv.Dead(dir) {
			return "", wrong("%s has lost its Python, as by an upgrade of the distribution; run wgmesh.router.image "+
				"for this router", filepath.Dir(dir))
		}
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err != nil || !filepath.IsAbs(path) {
		return "", wrong(
			"%s is neither in %s nor in PATH; install ansible-core, or name its folder as ansible_bin_dir", name, dir)
	}
	return path, nil
}

// environment is what every program of Ansible gets. A unit of systemd has no
// HOME and may have no locale, and a folder called from may have an ansible.cfg.
func environment(dir string) []string {
	collections := "/usr/share/ansible/collections"
	if have := os.Getenv("ANSIBLE_COLLECTIONS_PATH"); have != "" {
		collections = have + ":" + collections
	}
	env := []string{
		"LC_ALL=C.UTF-8",
		"ANSIBLE_HOME=" + dir,
		"ANSIBLE_LOCAL_TEMP=" + filepath.Join(dir, "tmp"),
		"ANSIBLE_COLLECTIONS_PATH=" + collections,
		"ANSIBLE_NOCOLOR=1",
		"ANSIBLE_DEPRECATION_WARNINGS=0",
		"ANSIBLE_RETRY_FILES_ENABLED=0",
	}
	if os.Getenv("HOME") == "" {
		env = append(env, "HOME="+dir)
	}
	return env
}

// run starts the program in a process group of its own and ends the group when
// ctx does: ansible-playbook has children, and they have ssh.
func (t tool) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, t.path, t.args...)
	cmd.Dir = t.dir
	cmd.Env = append(append(os.Environ(), environment(t.dir)...), t.env...)
	cmd.Stdout, cmd.Stderr = t.out, t.err
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	// An ssh that stays for the next connection may keep stderr open.
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
}

// A tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if surplus := len(t.text) - 1<<16; surplus > 0 {
		t.text = t.text[surplus:]
	}
	return len(p), nil
}

// oneLine makes a text one line of a length that a console shows.
func oneLine(text string) string { return cause.Line(text, 300) }
