// Package seal is the cryptography of this project and nothing else: WireGuard key pairs,
// pre-shared keys, sealing key pairs, and the envelopes in which a pre-shared key travels from the
// router that made it to the router at the other end of the tunnel.
//
// An envelope is HPKE (RFC 9180, base mode) with the ciphersuite MLKEM768-X25519, HKDF-SHA256,
// ChaCha20-Poly1305, so what is recorded today cannot be opened by a quantum computer later.
// Ansible carries envelopes and public keys only.
//
// Types that hold a secret print and marshal as "[redacted]", whatever the verb; their bytes leave
// through Encode alone, as the text of a file. Buffers are wiped after use as far as Go allows:
// copies inside crypto/hpke and crypto/ecdh are out of reach.
//
// The package does no I/O. Files that hold one of its secrets are read and
// mended by pkg/seal/keyfile; pkg/keypair and pkg/psk decide about them.
package seal
