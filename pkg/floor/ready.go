package floor

import (
	"context"
	"net/netip"
	"slices"

	"github.com/wgmesh/router/pkg/mark"
)

// AtBoot lists the files that refuse these networks at the next boot, and which are missing or
// not as this module wrote them.
func (h Host) AtBoot(ctx context.Context, networks []netip.Prefix) (wrong []string) {
	have, err := h.Observe(ctx)
	if err != nil {
		return []string{h.list()}
	}
	text := have.text(h.list())
	h.Mesh = mark.Of(text)
	there := Parse([]byte(text))
	open := slices.DeleteFunc(slices.Clone(networks), func(n netip.Prefix) bool {
		return slices.ContainsFunc(there, func(outer netip.Prefix) bool {
			return outer.Bits() > 0 && outer.Bits() <= n.Bits() && outer.Contains(n.Addr())
		})
	})
	for _, f := range h.Diff(Want{Networks: open, Keep: true}, have).Write {
		wrong = append(wrong, f.Path)
	}
	return wrong
}
