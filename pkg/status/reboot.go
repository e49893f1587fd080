package status

import (
	"os"
	"path/filepath"
	"strings"
)

// RebootBy is why a reboot is required, by the source that says so, below a root: the flag
// of Debian and Ubuntu, which is there with some packages only, or a kernel that is
// installed, of the running one's flavour and newer. Empty: nothing asks for one.
func RebootBy(root string) string {
	const flag, kernel = "/run/reboot-required", "/boot/vmlinuz-"
	if _, err := os.Stat(filepath.Join(root, flag)); err == nil {
		return flag
	}
	text, _ := os.ReadFile(filepath.Join(root, "proc/sys/kernel/osrelease")) // nothing is known without it
	running := strings.TrimSpace(string(text))
	newest, installed := running, false
	paths, _ := filepath.Glob(filepath.Join(root, kernel+"*")) // the pattern is good
	for _, path := range paths {
		_, release, _ := strings.Cut(filepath.Base(path), "-")
		installed = installed || release == running
		if flavour(release) == flavour(running) && newer(release, newest) {
			newest = release
		}
	}
	if !installed || newest == running { // a container's kernel is somebody else's
		return ""
	}
	return kernel + newest + ", and " + running + " runs"
}

// flavour is what is not a number of a release: -amd64, -cloud-amd64, -generic, and debug of x86_64+debug.
func flavour(release string) string {
	for i := range len(release) - 1 {
		if release[i] == '-' && !isDigit(release[i+1]) {
			return release[i:]
		}
	}
	_, variant, _ := strings.Cut(release, "+")
	return variant
}

// newer orders by the first number that differs: 6.1.0-28 is newer than 6.1.0-9.
func newer(a, b string) bool {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	for i > 0 && isDigit(a[i-1]) {
		i--
	}
	if m, n := digits(a[i:]), digits(b[i:]); m != n {
		return m > n
	}
	return a[i:] > b[i:]
}

func digits(text string) (n int) {
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
