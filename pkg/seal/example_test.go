package seal_test

import (
	"errors"
	"fmt"

	"github.com/wgmesh/router/pkg/seal"
)

// The initiator seals a pre-shared key for the responder. Only the responder can open
// the envelope, and only for the tunnel and the generation it was sealed for.
func ExampleSeal() {
	initiator, responder := seal.NewWGPrivate(), seal.NewWGPrivate()
	sealing := seal.NewPrivateKey() // the responder's
	b := seal.Binding{
		Initiator:  seal.End{Name: "office-1", Key: initiator.Public()},
		Responder:  seal.End{Name: "azure-1", Key: responder.Public()},
		Tunnel:     2,
		Generation: 1,
	}
	psk := seal.NewPSK()
	envelope, err := seal.Seal(sealing.Public(), initiator, b, psk)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = seal.Open(sealing, responder, b, envelope)
	fmt.Println("for this tunnel:", err)
	b.Tunnel = 4
	_, err = seal.Open(sealing, responder, b, envelope)
	fmt.Println("for another one, not opened:", errors.Is(err, seal.ErrNotOpened))
	fmt.Println("a key prints as", psk)
	// Output:
	// for this tunnel: <nil>
	// for another one, not opened: true
	// a key prints as [redacted]
}
