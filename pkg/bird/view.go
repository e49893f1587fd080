package bird

// Views are what a diff shows: the text on disk before and after, and in the
// last lines what that text cannot tell. They are equal when d is empty.
func Views(have Have, d Delta) (before, after string) {
	before = string(have.Text) + "# daemon: " + have.daemon() + "\n"
	if len(d) == 0 {
		return before, before
	}
	text, daemon, unit := string(have.Text), have.daemon(), ""
	for _, s := range d {
		switch s.Do {
		case ActStop, ActBack, ActRemove, ActUnitAway, ActDisable:
			for _, path := range have.traces {
				before += "# of ours: " + path + "\n"
			}
			if have.Unit != (Unit{}) {
				before += have.Unit.view()
			}
			return before, have.viewAbsent(d)
		case ActUnit:
			before += have.Unit.view()
			unit = s.Unit.view()
		case ActBoot:
			before += "# at boot: not started\n"
			unit += "# at boot: started\n"
		case ActKeep:
			before += "# copy for a boot with a damaged file: another text\n"
		case ActClean:
			before += "# left by an unfinished change: candidate files\n"
		case ActOriginal:
			// The copy's content is what the diff takes away.
		case ActTry:
			text, daemon = string(s.Text), "runs this file"
			if s.Timeout > 0 {
				daemon = "tries this text; on disk once it is confirmed"
			}
		case ActFinish:
			text, daemon = string(have.Trial), "runs this file"
		case ActInstall:
			text = string(s.Text)
			if have.Daemon.Running {
				daemon = "runs this file"
			}
		case ActStart, ActEnable, ActConfirm, ActUndo, ActLoad, ActHear:
			daemon = "runs this file"
		}
	}
	return before, text + "# daemon: " + daemon + "\n" + unit
}

func (u Unit) view() string {
	return "# drop-in of the service:\n" + u.DropIn + "# its script:\n" + u.Script
}

// daemon says in words what the daemon does, seen from the file on disk.
func (s Have) daemon() string {
	switch {
	case !s.Daemon.Running:
		return "does not run"
	case s.Daemon.Pending:
		return "tries another text and waits for the confirmation"
	case s.Daemon.Runs == "" || s.Daemon.Runs != StampOf(s.Text):
		return "runs another text than this file"
	case len(s.Daemon.Down) > 0:
		return "runs this file, with protocols disabled by hand"
	case len(s.Daemon.Deaf) > 0:
		return "runs this file, and follows no interface of the site"
	}
	return "runs this file"
}
