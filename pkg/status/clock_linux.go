package status

import "golang.org/x/sys/unix"

// clockFree reports whether the kernel knows of nobody who keeps its clock right. That takes
// chrony a while after a boot. What cannot be read is taken for a clock that is right.
func clockFree() bool {
	const patience = 10 * 60 // seconds
	var t unix.Timex
	var s unix.Sysinfo_t
	_, err := unix.Adjtimex(&t)
	return err == nil && t.Status&unix.STA_UNSYNC != 0 && unix.Sysinfo(&s) == nil && s.Uptime > patience
}
