//go:build linux

package floor

// TakesIPv6 is for tests of other files than the kernel's.
var TakesIPv6 = takesIPv6
