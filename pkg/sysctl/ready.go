package sysctl

import "maps"

// AtBoot reports whether the drop-in at Path keeps the profile of a router at the next boot, and
// which files that are read later defeat it. IPv6 says that the router forwards it.
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
	return kept, others.defeats(want)
}
