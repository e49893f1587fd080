package ansible

// For tests: the module with another lock file, and without what cannot be
// undone in the process of a test.
func (m Module) WithLock(path string) Module {
	m.lock = path
	m.harden = func() error { return nil }
	return m
}

var (
	LockWait = lockWait
	Lock     = lock
	Render   = render
)
