package failover

import "context"

// CarryOut carries one order out, as Run does beside the watching.
func (d *Daemon) CarryOut(ctx context.Context, o Order) error {
	return d.carryOut(ctx, job{Order: o})
}
