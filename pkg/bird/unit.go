package bird

import _ "embed" // the script is a file of its own, for shellcheck

// A Unit is what the service of BIRD gets from us: a drop-in, and the script
// beside it that the drop-in runs.
type Unit struct{ DropIn, Script string }

//go:embed boot.sh
var bootScript string

// Unit is the one that this host should have.
//
// A crashed daemon is back in a fifth of a second and for as long as it takes,
// gets the processor first, because BFD packets must not wait, and is the last that
// the kernel ends when memory is short. Its reload is refused while a change waits
// for confirmation: "birdc configure" would silently end the trial. It has BIRD 3 hear of
// the site's interfaces on, as ActHear does.
//
// ExecCondition is what runs before the "bird -p" of the distribution's unit,
// which a damaged bird.conf does not pass; the script never skips anything. It also
// has the kernel forward on while BIRD has no sessions, as ExecStop does at a restart.
func (h Host) Unit() Unit {
	return Unit{Script: bootScript, DropIn: `# Written by the Ansible module wgmesh.router.bird_config.
[Unit]
StartLimitIntervalSec=0

[Service]
ExecCondition=/bin/sh ` + h.script() + ` ` + h.Path + `
ExecStop=/bin/sh ` + h.script() + ` ` + h.Path + ` %n
Restart=on-failure
RestartSec=200ms
Nice=-10
CPUWeight=1000
OOMScoreAdjust=-900
ExecReload=
ExecReload=/bin/sh ` + h.script() + ` ` + h.Path + ` %n reload
`}
}
