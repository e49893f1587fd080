// Package mesh computes a network of WireGuard tunnels and BGP sessions from
// the list of its routers and sites.
//
// A Mesh is what a person writes: who exists and where. Its Plan for one router is everything that
// follows from it: tunnels, addresses, MTUs, allowed IPs, BGP neighbours, prefixes and kernel
// settings, in the words of the modules that make them so. Every router plans for itself, and the
// two ends of a tunnel agree because both compute it from the same Mesh.
//
// The package is pure: no I/O, no clock, no randomness, no dependence on the
// order of maps. The words in which it answers are those of pkg/plan.
package mesh
