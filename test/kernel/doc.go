// Package kernel is the test of a small mesh on the kernel's WireGuard. It runs
// in a virtual machine that `make kernel` makes.
package kernel
