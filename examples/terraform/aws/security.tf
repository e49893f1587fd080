locals {
  # Where a peer's packets come from: of this site, the address made here; of another,
  # what the inventory says. Null: from anywhere, and WireGuard tells who it is.
  peers = {
    for key, tunnel in module.mesh.tunnels : key => merge(tunnel, {
      source = tunnel.own_site ? aws_eip.router[tunnel.peer].public_ip : tunnel.endpoint
      known  = tunnel.own_site || tunnel.endpoint != null
    })
  }
  known_peers = { for key, tunnel in local.peers : key => tunnel if tunnel.known }
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
  for_each          = local.known_peers
  security_group_id = aws_security_group.router[each.value.router].id
  description       = "Ping from ${each.value.peer}"
  ip_protocol       = "icmp"
  from_port         = 8
  to_port           = 0
  cidr_ipv4         = "${each.value.source}/32"
}

resource "aws_vpc_security_group_ingress_rule" "join" {
  for_each          = module.mesh.joins ? local.known_peers : {}
  security_group_id = aws_security_group.router[each.value.router].id
  description       = "wgmesh join from ${each.value.peer}"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_ipv4         = "${each.value.source}/32"
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each          = { for pair in setproduct(keys(module.mesh.routers), var.ssh_sources) : join(" ", pair) => pair }
  security_group_id = aws_security_group.router[each.value[0]].id
  description       = "Ansible"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_ipv4         = each.value[1]
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
