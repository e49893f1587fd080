// Package model is a network of planned routers that exists on paper only: it says
// which way packets take, and what is left of them when something fails.
//
// It is BGP as the texts of pkg/bird make it: their filters, preferences, MEDs, transit and
// draining, on the sessions that both ends have planned, and WireGuard's allowed IPs on each hop.
// It is held against real BIRDs on random networks, fault by fault
// (differential_integration_test.go); a change of the filters in pkg/bird has to be made here too.
//
// It knows the state in which a network comes to rest, and nothing of the way there: no BFD, no
// timers, no MTU, no load, no import limits. It takes the way from a router into its own site for
// given, so the floor, the host's own subnets, firewalls and the clouds' route tables are not in
// it. MEDs are compared with everybody's, as BIRD 3 is told to; BIRD 2 compares them among ways by
// one neighbour site, and here both are the same, since MEDs differ only among ways straight from
// the owner. A result holds for a network whose routers all run the same plan.
package model
