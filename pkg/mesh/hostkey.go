package mesh

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/wgmesh/router/pkg/cause"
)

// hostKeyTypes are the types of a plain public key in the form of sshd(8), AUTHORIZED_KEYS FILE
// FORMAT. Certificates are left out: a host's certificate does not let its owner log in elsewhere.
var hostKeyTypes = []string{
	"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
}

// PlainHostKey returns the type and the key of a public key in OpenSSH's form,
// without its comment; "" when it is not one. The text goes into files that sshd
// reads, so nothing but these two words may be in it.
func PlainHostKey(text string) string {
	words := strings.Fields(text)
	if len(words) < 2 || strings.ContainsAny(text, "\n\r") || !slices.Contains(hostKeyTypes, words[0]) {
		return ""
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil || len(blob) < 4 {
		return ""
	}
	// RFC 4253 section 6.6: the blob begins with the type, as a string with its length before it.
	size := binary.BigEndian.Uint32(blob)
	if uint64(size) != uint64(len(words[0])) || !strings.HasPrefix(string(blob[4:]), words[0]) {
		return ""
	}
	return words[0] + " " + words[1]
}

func (n *network) checkHostKeys(p *Problems) {
	taken := map[string][]string{}
	for _, r := range n.routers {
		if r.HostKey == "" {
			continue
		}
		key := PlainHostKey(r.HostKey)
		switch {
		case key == "" && strings.Contains(r.HostKey, "PRIVATE"):
			p.add("router %s: host_key is a private key: "+
				"take it out of the inventory, make a new one, and give the line of ssh_host_ed25519_key.pub", r.name)
		case key == "":
			p.add("router %s: host_key is not an SSH public key: "+
				"expected the line of its /etc/ssh/ssh_host_ed25519_key.pub, such as ssh-ed25519 AAAA...", r.name)
		default:
			taken[key] = append(taken[key], r.name)
		}
	}
	for _, names := range taken {
		if len(names) > 1 {
			p.add("routers %s: all have the same host_key: give each its own, or one could speak for the other",
				cause.List(names))
		}
	}
}
