package plan

// Where everything of a router lies, unless an option says otherwise. What belongs to
// BIRD itself is in pkg/birdc.
const (
	TunnelDirectory = "/etc/wireguard" // wg-quick's files
	PrivateKeyFile  = TunnelDirectory + "/wgmesh.key"
	SealingKeyFile  = TunnelDirectory + "/wgmesh.seal"
	IdentityFile    = TunnelDirectory + "/wgmesh.id"
	PSKDirectory    = TunnelDirectory + "/wgmesh-psk"
	UndoDirectory   = TunnelDirectory + "/wgmesh-undo" // it holds keys
	UndoJournal     = UndoDirectory + "/journal.json"  // there while a change waits for its confirmation
	MSSFile         = TunnelDirectory + "/wgmesh.nft"

	Directory    = "/etc/wgmesh" // the door, and what the programs read
	JoinFile     = Directory + "/join.yml"
	FailoverFile = Directory + "/failover.json"
	ImageFile    = Directory + "/image" // as old as the image

	// What a router runs by itself, and who brings it: the plays image and upgrade, and routes.
	JoinProgram     = "/usr/local/bin/wgmesh"
	JoinCloud       = "/usr/local/libexec/wgmesh-cloud"
	FailoverProgram = "/usr/local/bin/wgmesh-cloud"
	AnsibleBin      = "/opt/wgmesh/ansible/bin" // where the distribution's Ansible is too old

	RunDirectory = "/run/wgmesh"
	FailoverRun  = "/run/wgmesh-failover" // there while its daemon runs
	// FailoverFails says which table it cannot move, and why, and FailoverRests of which nothing is
	// left to do. They have a folder of their own, since FailoverRun is as old as the daemon
	// (roles/routes/tasks/daemon.yml).
	FailoverFails = FailoverRun + "/says/failure"
	FailoverRests = FailoverRun + "/says/rests"
)
