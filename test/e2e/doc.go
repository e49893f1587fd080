// Package e2e boots virtual machines from the image of a router and lets them
// become a mesh by themselves, on the kernel's WireGuard. Run it by `make e2e`.
package e2e
