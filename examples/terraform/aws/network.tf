module "mesh" {
  source       = "../mesh"
  inventory    = var.inventory
  site         = var.site
  join_sources = var.join_sources
  ssh_sources  = var.ssh_sources
}

locals {
  router_subnets = { for zone, subnet in module.mesh.router_subnets : zone => subnet if subnet != null }
  node_subnets = merge([
    for zone, networks in module.mesh.zones : { for network in networks : network => zone if !strcontains(network, ":") }
  ]...)
  # Every zone's way to every other site's network.
  routes = merge([
    for zone, router in module.mesh.zone_routers : {
      for network, site in module.mesh.others : "${zone} ${network}" => { zone = zone, router = router, network = network }
    }
  ]...)
}

resource "aws_vpc" "site" {
  cidr_block           = module.mesh.networks[0]
  enable_dns_hostnames = true
  tags                 = { Name = var.site }
}

resource "aws_vpc_ipv4_cidr_block_association" "site" {
  for_each   = toset(slice(module.mesh.networks, 1, length(module.mesh.networks)))
  vpc_id     = aws_vpc.site.id
  cidr_block = each.key
}

# The routers have subnets of their own, whose table knows nothing of the other
# sites: a packet that a router cannot send leaves the cloud there and is lost,
# instead of coming back to the router.
resource "aws_internet_gateway" "site" {
  vpc_id = aws_vpc.site.id
  tags   = { Name = var.site }
}

resource "aws_route_table" "routers" {
  vpc_id = aws_vpc.site.id
  tags   = { Name = "${var.site}-routers" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.routers.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.site.id
}

resource "aws_subnet" "routers" {
  for_each          = local.router_subnets
  vpc_id            = aws_vpc.site.id
  availability_zone = "${var.region}${each.key}"
  cidr_block        = each.value
  tags              = { Name = "${var.site}-routers-${each.key}" }
  depends_on        = [aws_vpc_ipv4_cidr_block_association.site]
}

resource "aws_route_table_association" "routers" {
  for_each       = aws_subnet.routers
  subnet_id      = each.value.id
  route_table_id = aws_route_table.routers.id
}

# The nodes of a zone send to the router of their zone.
resource "aws_subnet" "nodes" {
  for_each          = local.node_subnets
  vpc_id            = aws_vpc.site.id
  availability_zone = "${var.region}${each.value}"
  cidr_block        = each.key
  tags              = { Name = "${var.site}-${each.value}" }
  depends_on        = [aws_vpc_ipv4_cidr_block_association.site]
}

resource "aws_route_table" "zone" {
  for_each = module.mesh.zones
  vpc_id   = aws_vpc.site.id
  tags     = { Name = "${var.site}-${each.key}", "wgmesh.router" = var.mesh }
}

resource "aws_route_table_association" "nodes" {
  for_each       = local.node_subnets
  subnet_id      = aws_subnet.nodes[each.key].id
  route_table_id = aws_route_table.zone[each.value].id
}

resource "aws_route" "site" {
  for_each               = local.routes
  route_table_id         = aws_route_table.zone[each.value.zone].id
  destination_cidr_block = each.value.network
  network_interface_id   = aws_network_interface.router[each.value.router].id

  # Where it points later is the routers' business: the other zone's router takes
  # it over while this one is down.
  lifecycle {
    ignore_changes = [network_interface_id]
  }
}
