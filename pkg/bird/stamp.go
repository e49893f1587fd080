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

// stamped puts the stamp of a text into it.
func stamped(rendered string) string {
	sum := sha256.Sum256([]byte(rendered))
	return strings.Replace(rendered, noStamp, hex.EncodeToString(sum[:8]), 1)
}

// whole reports whether a text is as it was rendered: nobody has edited it since.
func whole(text []byte) bool {
	return string(text) == stamped(string(redefine(text, plan.BirdStamp, noStamp)))
}

// StampOf reads the stamp that a text carries.
func StampOf(text []byte) Stamp {
	value, _ := find(text, plan.BirdStamp)
	return Stamp(value)
}
