// Package bird turns a router's routing policy into a bird.conf and brings it
// into a running BIRD 2 in a way that takes itself back unless it is confirmed.
//
// Render is pure and gives the same bytes for the same Config. Resolve fills in
// what only the host knows. Check asks the real parser. Observe reads the file,
// the daemon and the marker of a pending change; Diff plans; Apply does.
//
// It is used by the module bird_config and does not wait for sessions or judge
// routes: pkg/status does.
package bird
