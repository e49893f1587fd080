locals {
  # Where a peer's packets come from: of this site, the address made here; of another,
  # what the inventory says. Null: from anywhere, and WireGuard tells who it is.
  peers = {
    for key, tunnel in module.mesh.tunnels : key => merge(tunnel, {
      source = tunnel.own_site ? aws_eip.router[tunnel.peer].public_ip : tunnel.endpoint
      known  = tunnel.own_site || tunnel.endpoint != null
    })
  }

  # EC2 refuses a rule with the protocol, ports and network of another one of its group,
  # whatever it is for: so these keys are a router and a network. An address made here is
  # nobody else's, and not known at first: there it is its router's name.
  sources = {
    for key, tunnels in {
      for tunnel in local.peers : "${tunnel.router} ${tunnel.own_site ? tunnel.peer : "${tunnel.endpoint}/32"}" => tunnel... if tunnel.known
      } : key => {
      router  = tunnels[0].router
      peers   = join(", ", tunnels[*].peer)
      cidr    = "${tunnels[0].source}/32"
      ansible = contains(local.ssh_networks, "${coalesce(tunnels[0].endpoint, "none")}/32")
    }
  }
  ssh_networks = distinct([for source in module.mesh.ssh_sources : cidrsubnet(source, 0, 0)])
  ssh = merge(
    { for key, source in local.sources : key => {
      router = source.router, cidr = source.cidr, description = "wgmesh join from ${source.peers}"
    } if module.mesh.joins && !source.ansible },
    { for pair in setproduct(keys(module.mesh.routers), local.ssh_networks) : join(" ", pair) => {
      router = pair[0], cidr = pair[1], description = "Ansible"
    } },
  )
}

# A tunnel has a port of its own at each router, so each router has a group.
resource "aws_security_group" "router" {
  for_each    = module.mesh.routers
  name        = "${var.site}-${each.key}"
  description = "Tunnels of the router ${each.key}, and what it forwards"
  vpc_id      = aws_vpc.site.id
  tags        = { Name = each.key }
}

resource "aws_vpc_security_group_ingress_rule" "tunnel" {
  for_each          = local.peers
  security_group_id = aws_security_group.router[each.value.router].id
  description       = "WireGuard from ${each.value.peer}"
  ip_protocol       = "udp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = !each.value.known ? "0.0.0.0/0" : "${each.value.source}/32"
}

# Pings outside of the tunnels: mesh_status_info and mesh_measure_info send them.
resource "aws_vpc_security_group_ingress_rule" "ping" {
  for_each          = local.sources
  security_group_id = aws_security_group.router[each.value.router].id
  description       = "Ping from ${each.value.peers}"
  ip_protocol       = "icmp"
  from_port         = 8
  to_port           = 0
  cidr_ipv4         = each.value.cidr
}

# Ansible's, and that of peers where routers join by themselves.
resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each          = local.ssh
  security_group_id = aws_security_group.router[each.value.router].id
  description       = each.value.description
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_ipv4         = each.value.cidr
}

# Without these a router does not learn that a packet of a tunnel is too large.
resource "aws_vpc_security_group_ingress_rule" "too_large" {
  for_each          = module.mesh.routers
  security_group_id = aws_security_group.router[each.key].id
  description       = "Fragmentation needed"
  ip_protocol       = "icmp"
  from_port         = 3
  to_port           = 4
  cidr_ipv4         = "0.0.0.0/0"
}

# What the site's nodes send to other sites arrives with their own addresses.
resource "aws_vpc_security_group_ingress_rule" "site" {
  for_each          = { for pair in setproduct(keys(module.mesh.routers), module.mesh.networks) : join(" ", pair) => pair }
  security_group_id = aws_security_group.router[each.value[0]].id
  description       = "Own nodes to other sites"
  ip_protocol       = "-1"
  cidr_ipv4         = each.value[1]
}

resource "aws_vpc_security_group_egress_rule" "all" {
  for_each          = module.mesh.routers
  security_group_id = aws_security_group.router[each.key].id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

# For the site's nodes, to attach beside their own groups. Other sites' nodes keep
# their addresses all the way, so narrow it here if not everything may reach everything.
resource "aws_security_group" "nodes" {
  name        = "${var.site}-from-other-sites"
  description = "Nodes of the other sites"
  vpc_id      = aws_vpc.site.id
  tags        = { Name = "${var.site}-from-other-sites" }
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  for_each          = module.mesh.others
  security_group_id = aws_security_group.nodes.id
  description       = each.value
  ip_protocol       = "-1"
  cidr_ipv4         = each.key
}
