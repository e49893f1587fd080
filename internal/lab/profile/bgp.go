package profile

import (
	"cmp"
	"fmt"
)

// bgpFiles run another BGP daemon, which listens on every address. It has a
// neighbour that is nowhere.
func (p Profile) bgpFiles() []File {
	port := cmp.Or(p.BGPPort, 179)
	switch p.BGP {
	case "frr":
		return []File{
			{
				Path: "etc/frr/daemons", Mode: 0o644,
				Text: fmt.Sprintf(
					"bgpd=yes\nvtysh_enable=yes\nzebra_options=\"-A 127.0.0.1\"\nbgpd_options=\"-A 127.0.0.1 -p %d\"\n",
					port),
			},
			{Path: "etc/frr/frr.conf", Mode: 0o644, Text: `frr defaults traditional
router bgp 64999
 bgp router-id 192.0.2.254
 neighbor 192.0.2.253 remote-as 64998
 neighbor 192.0.2.253 passive
`},
		}
	case "":
		return nil
	}
	return append(unit("lab-bgp.service", `[Unit]
Description=Another BGP daemon of this host
Before=bird.service
[Service]
ExecStart=/usr/sbin/bird -f -c /etc/lab/bgp.conf -s /run/lab-bgp.ctl -P /run/lab-bgp.pid
[Install]
WantedBy=multi-user.target
`), File{Path: "etc/lab/bgp.conf", Mode: 0o644, Text: fmt.Sprintf(`router id 192.0.2.254;
protocol device {}
protocol bgp elsewhere {
  local port %d as 64999;
  neighbor 192.0.2.253 as 64998;
  multihop;
  passive;
  ipv4 { import none; export none; };
}
`, port)})
}
