// Package proof holds what the README promises as tests of a whole lab: real
// sshd, real Ansible, real WireGuard and BIRD. Run it by `make proof`.
package proof
