package sysctl

import "maps"

// AtBoot reports whether the drop-in at Path keeps the profile of a router at the next boot, and
// which files that are read later defeat it, or switch IPv6 off, which it does not set. IPv6 says
// that the router forwards it.
func (h Host) AtBoot(ipv6 bool) (kept bool, defeated []Defeat) {
	own, err := h.readDropin(Path)
	if err != nil {
		return false, nil
	}
	want := Profile{IPv6: &ipv6}.with(own).Settings()
	kept = true
	for k, v := range want {
		kept = kept && satisfies(k, own.sets[k], v)
	}
	others, err := h.readBoot(Path)
	if err != nil {
		return false, nil
	}
	maps.Copy(want, own.sets)
	defeated = others.defeats(want)
	for _, k := range []Key{prefixConf6 + "all/disable_ipv6", prefixConf6 + "default/disable_ipv6"} {
		if value, by := others.last(k); ipv6 && value == "1" {
			defeated = append(defeated, Defeat{Key: k.String(), Want: "0", Found: value, By: by})
		}
	}
	return kept, defeated
}
