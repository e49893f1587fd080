package hostkey

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A Place holds one line of one machine. Nobody but the machine writes there, and its
// owner; the other routers read.
type Place interface {
	// Machine is what the cloud calls this machine, for life.
	Machine() string
	// Place names the place in results and errors.
	Place() string
	// Read returns the line; "" when there is none.
	Read(ctx context.Context) (string, error)
	Write(ctx context.Context, line string) error
}

// A Refused is the error when the place holds a word that is not this machine's.
type Refused struct{ text string }

func (r Refused) Error() string { return r.text }

// Publish puts the key's line there, unless it is there, and says what it did. Another
// key gives way when this machine published it, or the one that was at this place
// before. One that somebody gave stays, unless replace says otherwise.
func Publish(ctx context.Context, place Place, key Key, router string, replace bool) (string, error) {
	have, err := place.Read(ctx)
	if err != nil {
		return "", err
	}
	want := key.Line(router, place.Machine())
	write, why, err := decide(strings.TrimSpace(have), want, place.Machine(), replace)
	if err != nil {
		return "", Refused{
			fmt.Sprintf("%s %v; this machine's key is %s: take the other one away, or bring it here, "+
				"or start `/usr/local/libexec/wgmesh-cloud publish-host-key --replace` once",
				place.Place(), err, key.Fingerprint()),
		}
	}
	if write {
		if err := place.Write(ctx, want); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s: %s %s %s", router, key.Fingerprint(), why, place.Place()), nil
}

// decide reports whether to write, and what that is in words.
func decide(have, want, machine string, replace bool) (write bool, why string, err error) {
	found := fingerprint(have)
	switch {
	case have == "":
		return true, "is published as", nil
	case have == want:
		return false, "is there already as", nil
	case strings.Contains(have, " "+mark(machine)) && found == fingerprint(want):
		return true, "is published under the router's new name as", nil
	case strings.Contains(have, " "+mark(machine)):
		return true, "takes the place of " + found + ", this machine's key before, as", nil
	case found == fingerprint(want):
		return false, "was given to the cloud by somebody and stays as it is, as", nil
	case strings.Contains(have, " wgmesh:"):
		return true, "takes the place of " + found + ", the key of the machine before this one, as", nil
	case replace:
		return true, "takes the place of " + found + ", as --replace says, as", nil
	}
	return false, "", fmt.Errorf("holds %s, which this machine did not publish", found)
}

// fingerprint is a key's; of a text that is not a key it says so and does not repeat it.
func fingerprint(line string) string {
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "no SSH public key"
	}
	return ssh.FingerprintSHA256(public)
}
