package lab

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// command runs a program to its end with that text as its input. The error holds
// the last line that the program said.
func command(ctx context.Context, limit time.Duration, input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = 2 * time.Second
	// A lab that is killed takes its helpers along. The kernel means the thread.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("no end after %s", limit)
	}
	said := cmp.Or(strings.TrimSpace(errs.String()), strings.TrimSpace(out.String()))
	if said != "" {
		err = fmt.Errorf("%w: %s", err, strings.ReplaceAll(last(said, 400), "\n", " / "))
	}
	return out.String(), fmt.Errorf("%s: %w", strings.Join(argv[:min(len(argv), 4)], " "), err)
}

// leave starts what is to stay, with what it says in a log.
func leave(cmd *exec.Cmd, path string) error {
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // if it ends while we are here, it leaves no zombie
	return nil
}

func last(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
