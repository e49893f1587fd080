package cloud

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// azureChassis is the asset tag of every Azure VM; "Microsoft Corporation" is
// the vendor of any Hyper-V machine.
const azureChassis = "7783-7084-3265-9085-8269-3286-77"

// Detect says which cloud runs this machine, by what its firmware says about it
// in /sys/class/dmi/id. No metadata service is tried: in the wrong cloud its
// address may be somebody else's.
func Detect(dmi fs.FS) (string, error) {
	var unread error
	read := func(name string) string {
		text, err := fs.ReadFile(dmi, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			unread = err
		}
		return strings.TrimSpace(string(text))
	}
	vendor, product := read("sys_vendor"), read("product_name")
	switch {
	case vendor == "Amazon EC2" || strings.HasPrefix(strings.ToLower(read("bios_vendor")), "amazon"):
		return AWS, nil
	case strings.HasSuffix(read("product_version"), ".amazon") || strings.HasSuffix(read("bios_version"), ".amazon"):
		return AWS, nil // Xen
	case read("chassis_asset_tag") == azureChassis:
		return Azure, nil
	case product == "Google Compute Engine":
		return GCP, nil
	case unread != nil:
		return "", fmt.Errorf("cloud: what this machine's firmware says cannot be read (%w); "+
			"say aws, azure or gcp", unread)
	case vendor == "" && product == "":
		return "", errors.New("cloud: this machine's firmware says nothing in /sys/class/dmi/id; say aws, azure or gcp")
	}
	return "", fmt.Errorf("cloud: this machine is a %q of %q, neither AWS, Azure nor GCP; "+
		"on a control node name the instance, otherwise say aws, azure or gcp", product, vendor)
}
