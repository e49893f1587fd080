package guarded

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/must"
	"github.com/wgmesh/router/pkg/ansible"
	"github.com/wgmesh/router/pkg/bird"
	"github.com/wgmesh/router/pkg/floor"
	"github.com/wgmesh/router/pkg/guard"
	"github.com/wgmesh/router/pkg/status"
)

// A router is a guard in folders of its own, and a file that plans change.
type router struct {
	guard.Guard
	file string
}

func newRouter(t *testing.T) router {
	t.Helper()
	dir := t.TempDir()
	r := router{file: filepath.Join(dir, "file")}
	r.Guard = guard.Guard{Folder: dir + "/undo", Run: dir + "/run"}
	r.Launch = func(_ context.Context, id string) error {
		go func() {
			_ = r.Wait(t.Context(), id, func(ctx context.Context) error {
				_, err := Undo(ctx, r.Guard, guard.Journal.Overdue)
				return err
			}, func(string) {})
		}()
		return nil
	}
	require.NoError(t, os.WriteFile(r.file, []byte("before"), 0o600))
	return r
}

// plan is one of a module that writes text into the file.
func (r router) plan(t *testing.T, seconds int, text string) (ansible.Plan, error) {
	t.Helper()
	have := must.Get(os.ReadFile(r.file))(t)
	p := ansible.Plan{
		Changed: string(have) != text, Return: map[string]any{"own": 1},
		Apply: func(context.Context) (ansible.Outcome, error) {
			return ansible.Outcome{Done: []string{"wrote"}}, os.WriteFile(r.file, []byte(text), 0o600)
		},
	}
	daemon := bird.Host{Path: r.file + ".bird", Socket: r.file + ".ctl"}
	err := Options{Guard: seconds}.protect(r.Guard, daemon, &p, func(c *guard.Change) error {
		c.Files = append(c.Files, r.file)
		return nil
	})
	return p, err
}

func (r router) text(t *testing.T) string {
	t.Helper()
	return string(must.Get(os.ReadFile(r.file))(t))
}

func (r router) apply(t *testing.T, seconds int, text string) map[string]any {
	t.Helper()
	p := must.Get(r.plan(t, seconds, text))(t)
	if p.Record != nil {
		must.Get(p.Record(t.Context()))(t)
	}
	if p.Changed {
		out := must.Get(p.Apply(t.Context()))(t)
		assert.Equal(t, []string{"wrote"}, out.Done)
		maps.Copy(p.Return, out.Return)
	}
	return p.Return
}

func TestWithoutAGuardNothingIsKept(t *testing.T) {
	r := newRouter(t)
	assert.Equal(t, map[string]any{"own": 1}, r.apply(t, 0, "after"))
	assert.NoDirExists(t, r.Folder)
	assert.NoDirExists(t, r.Run)
}

// A run that changes nothing keeps nothing, and a plan alone, as in check mode, neither.
func TestNothingToDoArmsNothing(t *testing.T) {
	r := newRouter(t)
	assert.Equal(t, false, r.apply(t, 60, "before")["armed"])
	p := must.Get(r.plan(t, 60, "after"))(t)
	assert.Equal(t, false, p.Return["armed"])
	assert.Equal(t, []string{}, p.Return["worked"])
	assert.NoDirExists(t, r.Folder)
	assert.NoDirExists(t, r.Run)
}

// A change may give a router another name, so its tunnel is told with it. The journal of an
// older program has none, and its change is settled like any other.
func TestWhatWorkedBefore(t *testing.T) {
	for note, over := range map[string][]status.End{
		`{"worked":["azure-1"],"silent":[],"routed":[]}`: {},
		`{"worked":["azure-1"],"over":[{"peer":"azure-1","name":"wg20","address":"100.64.0.1"}]}`: {
			{Peer: "azure-1", Name: "wg20", Address: netip.MustParseAddr("100.64.0.1")},
		},
	} {
		r := newRouter(t)
		var c guard.Change
		c.Note(beginning, "", json.RawMessage(note))
		require.NoError(t, r.Arm(t.Context(), 600, c))
		seen := must.Get(r.plan(t, 600, "after"))(t).Return
		assert.Equal(t, []string{"azure-1"}, seen["worked"])
		assert.Equal(t, over, seen["worked_over"])
		must.Get(must.Get(Confirm(t.Context(), r.Guard, *must.Get(r.Read())(t)))(t)(t.Context()))(t)
	}
}

// A look that failed does not say that nothing worked: nothing is changed.
func TestWhatWorksIsNotKnown(t *testing.T) {
	r := newRouter(t)
	r.bird(t, func(net.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := must.Get(r.plan(t, 60, "after"))(t)
	require.ErrorContains(t, must.Err(p.Apply(ctx)), "guard: nothing was changed, because what works is unknown: ")
	assert.Equal(t, "before", r.text(t))
	assert.NoDirExists(t, r.Folder)
}

// One that answers later is looked at again.
func TestWhatWorksIsSeenLater(t *testing.T) {
	r, first := newRouter(t), true
	r.bird(t, func(conn net.Conn) {
		if first {
			first = false
			return
		}
		_, _ = io.WriteString(conn, "0001 BIRD 2.0.12 ready.\n")
		for in := bufio.NewScanner(conn); in.Scan(); {
			_, _ = io.WriteString(conn, map[string]string{
				"show status":        "1000-BIRD 2.0.12\n0013 Daemon is up and running\n",
				"show protocols all": "1002-azure_1 BGP --- up 14:03:12\n1006-  BGP state: Established\n0000 \n",
			}[in.Text()])
			if !strings.HasPrefix(in.Text(), "show") || in.Text() == "show bfd sessions" {
				_, _ = io.WriteString(conn, "9001 no\n")
			}
		}
	})
	assert.Equal(t, []string{"azure-1"}, r.apply(t, 600, "after")["worked"])
}

// bird has a BIRD of ours with one session, which serves one connection after the other.
func (r router) bird(t *testing.T, serve func(net.Conn)) {
	t.Helper()
	text := "define wgmesh_config = \"0123456789abcdef\";\n# azure-1, site azure\nprotocol bgp azure_1 {\n" +
		"\tinterface \"wg-none\";\n\tneighbor 100.64.0.1 as 65001;\n}\n"
	must.Write(t, r.file+".bird", text, 0o644)
	l := must.Get(net.Listen("unix", r.file+".ctl"))(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
}

// The second change of a run, and the same run again, keep what was before the first.
func TestChangesOfARunAreOne(t *testing.T) {
	r := newRouter(t)
	for _, text := range []string{"one", "two", "two"} {
		assert.Equal(t, true, r.apply(t, 60, text)["armed"])
	}
	assert.Equal(t, "two", r.text(t))
	done := must.Get(Undo(t.Context(), r.Guard, func(guard.Journal) bool { return true }))(t)
	assert.Equal(t, []string{"put back " + r.file}, done)
	assert.Equal(t, "before", r.text(t))
	require.ErrorContains(t, r.Kept(t.Context(), ""), "taken back at")
	assert.NoDirExists(t, r.Folder)
	done = must.Get(Undo(t.Context(), r.Guard, func(guard.Journal) bool { return true }))(t)
	assert.Empty(t, done)
}

// What is to be is that of the last run, as with a network that was mistyped and is put right
// before the change is confirmed.
func TestTheLastFloorIsKept(t *testing.T) {
	r, h := newRouter(t), floor.Host{Folder: t.TempDir()}
	right := must.Prefixes("172.16.4.0/24")
	for _, networks := range [][]netip.Prefix{{netip.MustParsePrefix("172.16.0.0/12")}, right} {
		var c guard.Change
		Floor(&c, h, floor.Delta{}, networks)
		require.NoError(t, r.Arm(t.Context(), 600, c))
	}
	kept := must.Get(guard.Note[KeptFloor](*must.Get(r.Read())(t), floors))(t)
	assert.Equal(t, map[string]KeptFloor{h.Folder: {Host: h, Networks: right}}, kept)
}

// A note does not keep the change from going back.
func TestUndoWithoutItsNote(t *testing.T) {
	r := newRouter(t)
	r.apply(t, 600, "after")
	require.NoError(t, os.Remove(r.Run+"/changes"))
	require.NoError(t, os.MkdirAll(r.Run+"/changes/in the way", 0o700))
	done := must.Get(Undo(t.Context(), r.Guard, func(guard.Journal) bool { return true }))(t)
	assert.Contains(t, done, "put back "+r.file)
	assert.Equal(t, "before", r.text(t))
	assert.NoDirExists(t, r.Folder)
}

func TestConfirmKeeps(t *testing.T) {
	r := newRouter(t)
	r.apply(t, 60, "after")
	j := must.Get(r.Read())(t)
	settle := must.Get(Confirm(t.Context(), r.Guard, *j))(t)
	assert.Len(t, must.Get(settle(t.Context()))(t), 1)
	assert.Equal(t, "after", r.text(t))
	assert.NoDirExists(t, r.Folder)
	assert.Empty(t, must.Get(settle(t.Context()))(t), "it was kept already")
}

// Whoever cannot be taken back does not write.
func TestCannotBeKept(t *testing.T) {
	r := newRouter(t)
	r.Launch = func(context.Context, string) error { return errors.New("no systemd-run") }
	p := must.Get(r.plan(t, 60, "after"))(t)
	require.ErrorContains(t, must.Err(p.Apply(t.Context())), "no systemd-run")
	assert.Equal(t, "before", r.text(t))
	assert.Equal(t, false, p.Return["armed"])
}

// systemd is told of what was put back also when the first try to tell it failed: by then
// the files are as they were, and nobody keeps the rest.
func TestUndoReloadsAgain(t *testing.T) {
	r := newRouter(t)
	r.Units = t.TempDir()
	told := filepath.Join(t.TempDir(), "told")
	systemctl := func(status string) {
		tools := t.TempDir()
		must.Write(t, tools+"/systemctl", "#!/bin/sh\necho \"$*\" >> "+told+"\nexit "+status+"\n", 0o755)
		t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	}
	unit := filepath.Join(r.Units, "x.service")
	require.NoError(t, r.Arm(t.Context(), 600, guard.Change{Files: []string{unit}}))
	require.NoError(t, os.WriteFile(unit, nil, 0o644))
	always := func(guard.Journal) bool { return true }
	systemctl("1")
	require.ErrorContains(t, must.Err(Undo(t.Context(), r.Guard, always)), "systemctl daemon-reload: exit status 1")
	assert.NoFileExists(t, unit)
	assert.True(t, must.Get(r.Read())(t).Overdue())
	systemctl("0")
	must.Get(Undo(t.Context(), r.Guard, always))(t)
	assert.Equal(t, "daemon-reload\ndaemon-reload\n", string(must.Get(os.ReadFile(told))(t)))
}

// What a boot cannot put back is left to the process that tries until it works, also by one
// that systemd ends because it takes too long.
func TestUndoAtBootGoesOn(t *testing.T) {
	for name, at := range map[string]func(router) string{
		"a file":   func(r router) string { return r.file },
		"the note": func(r router) string { return r.Run + "/changes" },
		"the end":  func(r router) string { return r.Folder + "/not ours" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t)
			launched := make(chan string, 2)
			r.Launch = func(ctx context.Context, id string) error {
				launched <- id
				r.watch(t, id)
				return ctx.Err()
			}
			r.apply(t, 600, "after")
			id := <-launched
			r.anotherBoot(t)
			_ = os.Remove(at(r))
			require.NoError(t, os.MkdirAll(at(r)+"/in the way", 0o700))
			ctx, end := context.WithCancel(t.Context())
			end()
			err := must.Err(UndoAtBoot(ctx, r.Guard))
			require.ErrorContains(t, err, at(r))
			require.NotErrorIs(t, err, context.Canceled)
			require.NotEmpty(t, launched)
			assert.Equal(t, id, <-launched)
			if name != "a file" {
				assert.Equal(t, "before", r.text(t), "the rest goes back")
			}
			require.NoError(t, os.RemoveAll(at(r)))
			must.Get(Undo(t.Context(), r.Guard, guard.Journal.Overdue))(t)
			assert.Equal(t, "before", r.text(t))
		})
	}
}

// A journal that a boot cannot read was nobody's: the change stayed, and no other one could begin.
func TestUndoAtBootReadsLater(t *testing.T) {
	r := newRouter(t)
	wait, journal := r.Launch, r.Folder+"/journal.json"
	r.Launch = func(_ context.Context, id string) error { r.watch(t, id); return nil }
	r.apply(t, 600, "after")
	r.anotherBoot(t)
	require.NoError(t, os.Rename(journal, r.file+".journal"))
	require.NoError(t, os.Mkdir(journal, 0o700))
	r.Launch = wait
	require.ErrorContains(t, must.Err(UndoAtBoot(t.Context(), r.Guard)), "is a directory")
	require.NoError(t, os.Remove(journal))
	require.NoError(t, os.Rename(r.file+".journal", journal))
	require.Eventually(t, func() bool { return must.Get(r.Read())(t) == nil }, 2*time.Minute, 10*time.Millisecond)
	assert.Equal(t, "before", r.text(t))
}

// A soft-reboot, or a restart of a container, ends the process that waits, and is not another boot.
func TestUndoAtBootWaitsOn(t *testing.T) {
	r := newRouter(t)
	wait, launched := r.Launch, []string{}
	r.Launch = func(ctx context.Context, id string) error {
		launched = append(launched, id)
		return wait(ctx, id)
	}
	r.apply(t, 600, "after")
	id := must.Get(r.Read())(t).ID
	must.Get(UndoAtBoot(t.Context(), r.Guard))(t)
	assert.Equal(t, []string{id}, launched, "it is there")
	require.NoError(t, os.Remove(r.Waiter(id)))
	must.Get(UndoAtBoot(t.Context(), r.Guard))(t)
	assert.Equal(t, []string{id, id}, launched)
	assert.Equal(t, "after", r.text(t), "its time is not up")
}

// watch has a process wait that does nothing. One that works takes a change of another boot back.
func (r router) watch(t *testing.T, id string) {
	t.Helper()
	f := must.Get(os.Create(r.Waiter(id)))(t)
	t.Cleanup(func() { _ = f.Close() })
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) // or one waits already
}

// anotherBoot has the change that waits be one of an earlier boot.
func (r router) anotherBoot(t *testing.T) {
	t.Helper()
	j := must.Get(r.Read())(t)
	journal := must.Get(filepath.Glob(r.Folder + "/*.json"))(t)
	require.Len(t, journal, 1)
	earlier := strings.ReplaceAll(string(must.Get(os.ReadFile(journal[0]))(t)), j.Boot, "an earlier one")
	require.NoError(t, os.WriteFile(journal[0], []byte(earlier), 0o600))
}

// A reboot in the middle of a change that enabled BIRD has it disabled again. One whose
// note does not say so stays enabled.
func TestUndoAtBootDisablesBird(t *testing.T) {
	for disabled, want := range map[bool]string{
		false: "", true: "disable bird\n--no-block stop bird.service\n",
	} {
		r, dir := newRouter(t), t.TempDir()
		require.NoError(t, os.MkdirAll(dir+"/multi-user.target.wants", 0o755))
		require.NoError(t, os.WriteFile(dir+"/multi-user.target.wants/bird.service", nil, 0o600))
		require.NoError(t, os.WriteFile(dir+"/systemctl", []byte("#!/bin/sh\necho \"$*\" >> "+dir+"/told\n"), 0o755))
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		var c guard.Change
		Daemon(&c, bird.Before{Disabled: disabled, Host: bird.Host{
			Path: dir + "/bird.conf", Socket: dir + "/bird.ctl", Service: "bird", Run: dir, Units: dir, Systemd: true,
		}})
		r.Launch = func(_ context.Context, id string) error {
			r.watch(t, id)
			return nil
		}
		require.NoError(t, r.Arm(t.Context(), 600, c))
		r.anotherBoot(t)
		must.Get(UndoAtBoot(t.Context(), r.Guard))(t)
		told, _ := os.ReadFile(dir + "/told")
		assert.Equal(t, want, string(told))
	}
}

// Who has written a bird.conf while a change waited loses it no more than what was there before.
func TestUndoKeepsWhatSomebodyWrote(t *testing.T) {
	r, dir := newRouter(t), t.TempDir()
	files := map[string]struct{ before, now string }{
		"bird.conf": {"before", "newer"}, "was.conf": {"", "newer"}, "wg1.conf": {"before", "# wgmesh.router\n"},
		"same.conf": {"before", "before"}, "empty.conf": {"before", "\x00"}, "wgmesh.key": {"before", "after"},
	}
	var c guard.Change
	for name, text := range files {
		c.Files = append(c.Files, filepath.Join(dir, name))
		if text.before != "" {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text.before), 0o600))
		}
	}
	require.NoError(t, r.Arm(t.Context(), 600, c))
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text.now), 0o600))
	}
	done := must.Get(Undo(t.Context(), r.Guard, func(guard.Journal) bool { return true }))(t)
	for name, text := range files {
		have, _ := os.ReadFile(filepath.Join(dir, name))
		assert.Equal(t, text.before, string(have), name)
	}
	for _, name := range []string{"bird.conf", "was.conf"} {
		path := filepath.Join(dir, name)
		kept := fmt.Sprintf("%s.by-hand-%.4x", path, sha256.Sum256([]byte("newer")))
		assert.Equal(t, "newer", string(must.Get(os.ReadFile(kept))(t)))
		assert.Contains(t, done, "kept "+path+", which somebody has changed meanwhile, as "+kept)
	}
	assert.Len(t, must.Get(os.ReadDir(dir))(t), 7)
}
