// Package bench measures what `make bench` prints: run does what needs a lab, and its
// test what needs the kernel's WireGuard (.ci/kernel).
package bench
