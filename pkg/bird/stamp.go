package bird

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// A Stamp names one rendered text. The empty Stamp is that of any text that
// is not ours.
type Stamp string

// noStamp stands in the text while its stamp is computed.
const noStamp = "0000000000000000"

// stamped puts the stamp of a text into it: into its constant, and into the names of protocols.
func stamped(rendered string) string {
	sum := sha256.Sum256([]byte(rendered))
	stamp := hex.EncodeToString(sum[:8])
	return renamed(strings.Replace(rendered, noStamp, stamp, 1), noStamp, stamp)
}

func unstamped(text []byte) string {
	return renamed(string(redefine(text, plan.BirdStamp, noStamp)), string(StampOf(text)), noStamp)
}

// renamed is a text whose protocols have another stamp in their names. No session has one there.
func renamed(text, from, to string) string {
	return strings.ReplaceAll(text, "_"+from+" {", "_"+to+" {")
}

// whole reports whether a text is as it was rendered: nobody has edited it since.
func whole(text []byte) bool { return string(text) == stamped(unstamped(text)) }

// StampOf reads the stamp that a text carries.
func StampOf(text []byte) Stamp {
	value, _ := find(text, plan.BirdStamp)
	return Stamp(value)
}
