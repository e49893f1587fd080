package profile

// forwardFiles load the rules of a program that lets nothing be forwarded but its
// own, after those of nftables.conf, as that program does; or set up the program.
func (p Profile) forwardFiles() []File {
	rules, before := "", ""
	switch p.Forward {
	case "docker":
		open := ""
		if p.ForwardOpen {
			open = "    counter accept\n" // iptables -I DOCKER-USER -j ACCEPT
		}
		rules = dockerHead + open + dockerRest
		before = "ip link show dev docker0 >/dev/null 2>&1 || ip link add dev docker0 type bridge; " +
			"ip address replace dev docker0 172.17.0.1/16; ip link set dev docker0 up; "
	case "ufw":
		open := ""
		if p.ForwardOpen {
			// ufw route allow in on wg...
			open = "    iifname \"wg*\" counter accept\n    oifname \"wg*\" counter accept\n"
		}
		rules = ufw("ip", "ufw", ufwICMP, open) + ufw("ip6", "ufw6", ufwICMP6, open)
	case "docker-package":
		if !p.ForwardOpen {
			return nil
		}
		return forwardUnit("docker.service", "iptables -I DOCKER-USER -j ACCEPT")
	case "ufw-package":
		open := ""
		if p.ForwardOpen {
			open = "ufw route allow in on wg+; ufw route allow out on wg+; "
		}
		return forwardUnit("ufw.service",
			"ufw allow 22/tcp; ufw allow 51800:51899/udp; ufw allow in on wg+; "+open+"ufw --force enable")
	default:
		return nil
	}
	return append(forwardUnit("nftables.service", before+"nft -f /etc/lab/forward.nft"),
		File{Path: "etc/lab/forward.nft", Text: rules, Mode: 0o644})
}

func forwardUnit(after, command string) []File {
	return unit("lab-forward.service", `[Unit]
Description=What the admin does about forwarding
After=`+after+`
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '`+command+`'
[Install]
WantedBy=multi-user.target
`)
}

// What dockerd 20.10 of Debian 12 has in the kernel after it started without a
// container, as `nft list ruleset` shows it.
const dockerHead = `table ip nat {
  chain DOCKER {
    iifname "docker0" counter return
  }
  chain POSTROUTING {
    type nat hook postrouting priority srcnat; policy accept;
    oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade
  }
  chain PREROUTING {
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local counter jump DOCKER
  }
  chain OUTPUT {
    type nat hook output priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER
  }
}
table ip filter {
  chain DOCKER {
  }
  chain DOCKER-ISOLATION-STAGE-2 {
    oifname "docker0" counter drop
    counter return
  }
  chain DOCKER-ISOLATION-STAGE-1 {
    iifname "docker0" oifname != "docker0" counter jump DOCKER-ISOLATION-STAGE-2
    counter return
  }
  chain DOCKER-USER {
`

const dockerRest = `    counter return
  }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    counter jump DOCKER-ISOLATION-STAGE-1
    oifname "docker0" ct state related,established counter accept
    oifname "docker0" counter jump DOCKER
    iifname "docker0" oifname != "docker0" counter accept
    iifname "docker0" oifname "docker0" counter accept
  }
}
`

const (
	ufwICMP = "    icmp type { destination-unreachable, time-exceeded, parameter-problem, " +
		"echo-request } counter accept\n"
	ufwICMP6 = "    meta l4proto 58 counter accept\n"
)

// ufw is one family of what `ufw enable` leaves after `ufw allow 22/tcp`, the
// mesh's UDP ports, and everything that comes out of a tunnel of the mesh for the
// host itself: in for those, out for all, forward for nobody.
func ufw(family, name, icmp, open string) string {
	return `table ` + family + ` filter {
  chain ` + name + `-before-input {
    iifname "lo" counter accept
    ct state related,established counter accept
    ct state invalid counter drop
` + icmp + `    udp sport 67 udp dport 68 counter accept
  }
  chain ` + name + `-user-input {
    tcp dport 22 counter accept
    udp dport 51800-51899 counter accept
    iifname "wg*" counter accept
  }
  chain ` + name + `-before-forward {
    ct state related,established counter accept
` + icmp + `  }
  chain ` + name + `-user-forward {
` + open + `  }
  chain INPUT {
    type filter hook input priority filter; policy drop;
    counter jump ` + name + `-before-input
    counter jump ` + name + `-user-input
  }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump ` + name + `-before-forward
    counter jump ` + name + `-user-forward
  }
  chain OUTPUT {
    type filter hook output priority filter; policy accept;
  }
}
`
}

// nftablesFiles are Debian's own nftables.conf, which begins by removing
// everybody's rules, and its service, which a new machine has switched off.
func (p Profile) nftablesFiles() []File {
	if !p.NFTables {
		return nil
	}
	return []File{
		{
			Path: "etc/systemd/system/sysinit.target.wants/nftables.service",
			Link: "/lib/systemd/system/nftables.service",
		},
		{Path: "etc/nftables.conf", Mode: 0o755, Text: `#!/usr/sbin/nft -f

flush ruleset

table inet filter {
	chain input {
		type filter hook input priority filter;
	}
	chain forward {
		type filter hook forward priority filter;
	}
	chain output {
		type filter hook output priority filter;
	}
}
`},
	}
}
