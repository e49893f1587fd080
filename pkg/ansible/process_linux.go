package ansible

import (
	"fmt"
	"runtime/debug"
	"syscall"
)

// Harden does for a program that is not a module what every module does first.
func Harden() error { return harden() }

// harden keeps the memory of the process, which may hold keys, out of core
// dumps, debuggers and crash reports.
func harden() error {
	debug.SetTraceback("none")
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		return fmt.Errorf("forbid core dumps: %w", errno)
	}
	return nil
}
