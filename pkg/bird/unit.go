package bird

// Unit is the systemd drop-in for BIRD's service.
//
// A crashed daemon is back in a fifth of a second and for as long as it takes,
// and gets the processor first, because BFD packets must not wait. Its reload
// is refused while a change waits for confirmation: "birdc configure" would
// silently end the trial.
const Unit = `# Written by the Ansible module wgmesh.router.bird_config.
[Unit]
StartLimitIntervalSec=0

[Service]
Restart=on-failure
RestartSec=200ms
Nice=-10
CPUWeight=1000
ExecReload=
ExecReload=/bin/sh -c 'if birdc configure status | grep -q unconfirmed; then echo "a change waits for its confirmation; not reloaded" >&2; exit 1; fi; exec birdc configure'
`
