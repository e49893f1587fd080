package wg

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An Armor is what AppArmor lets wg and wg-quick do: their profiles (Ubuntu 25.04 and
// newer) let them read keys below /etc/wireguard and nowhere else.
type Armor struct {
	Profile  string // of wg or wg-quick; empty: there is none
	Enforced bool   // it is known to be in force
	Local    string // what the host's owner added to it
}

// LookArmor reads the profiles of the host whose files are below root.
func LookArmor(root string) (a Armor) {
	loaded, _ := os.ReadFile(filepath.Join(root, "/sys/kernel/security/apparmor/profiles")) // not there: not loaded
	for _, name := range []string{"wg", "wg-quick"} {
		for line := range strings.Lines(string(loaded)) {
			profile, mode, _ := strings.Cut(strings.TrimSpace(line), " (")
			if filepath.Base(profile) == name && mode == "enforce)" {
				a.Profile, a.Enforced = name, true
			}
		}
		for _, file := range []string{name, "usr.bin." + name} {
			if _, err := os.Stat(filepath.Join(root, "/etc/apparmor.d", file)); err == nil && a.Profile == "" {
				a.Profile = name
			}
			text, _ := os.ReadFile(filepath.Join(root, "/etc/apparmor.d/local", file))
			a.Local += string(text)
		}
	}
	return a
}

// Closed says which key files of w the profile does not let wg read, one line each.
func (a Armor) Closed(w Want) (out []string) {
	if a.Profile == "" {
		return nil
	}
	files := []string{w.PrivateKeyFile}
	for _, t := range w.Tunnels {
		for _, p := range t.Peers {
			files = append(files, p.PresharedKeyFile)
		}
	}
	seen := []string{}
	for _, file := range files {
		folder := filepath.Dir(file)
		if file == "" || within(systemDirectory, file) || slices.Contains(seen, folder) ||
			strings.Contains(a.Local, folder) {
			continue
		}
		seen = append(seen, folder)
		out = append(out, fmt.Sprintf("AppArmor's profile %s lets wg read no key in %s: keep it below %s, "+
			"or allow it in /etc/apparmor.d/local/%s", a.Profile, folder, systemDirectory, a.Profile))
	}
	return out
}

func within(folder, path string) bool { return strings.HasPrefix(filepath.Clean(path), folder+"/") }
