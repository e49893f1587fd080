package profile

// gatewayFiles make the host the gateway of its LAN: it forwards, and hides the LAN
// behind its uplink.
func (p Profile) gatewayFiles() []File {
	if !p.LANGateway {
		return nil
	}
	return append(unit("lab-gateway.service", `[Unit]
Description=The way of this LAN to the internet
After=nftables.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/lab/gateway.nft
[Install]
WantedBy=multi-user.target
`),
		File{Path: "etc/sysctl.d/50-gateway.conf", Text: "net.ipv4.ip_forward = 1\n", Mode: 0o644},
		File{Path: "etc/lab/gateway.nft", Mode: 0o644, Text: `table ip lan {
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "eth0" counter masquerade
  }
}
`})
}
