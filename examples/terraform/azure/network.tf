module "mesh" {
  source       = "../mesh"
  inventory    = var.inventory
  site         = var.site
  join_sources = var.join_sources
  ssh_sources  = var.ssh_sources
}

locals {
  router_subnet = values(module.mesh.router_subnets)[0]
  node_subnets = merge([
    for zone, networks in module.mesh.zones : { for network in networks : network => zone if !strcontains(network, ":") }
  ]...)
}

resource "azurerm_resource_group" "site" {
  name     = "${var.mesh}-${var.site}"
  location = var.location
  tags     = { mesh = var.mesh }
}

resource "azurerm_virtual_network" "site" {
  name                = var.site
  resource_group_name = azurerm_resource_group.site.name
  location            = azurerm_resource_group.site.location
  address_space       = module.mesh.networks
}

# The routers' own subnet, without the route table below: a packet that a router
# cannot send is lost there, instead of coming back to it through the load balancer.
resource "azurerm_subnet" "routers" {
  name                 = "routers"
  resource_group_name  = azurerm_resource_group.site.name
  virtual_network_name = azurerm_virtual_network.site.name
  address_prefixes     = [local.router_subnet]

  lifecycle {
    precondition {
      condition     = length(distinct(values(module.mesh.router_subnets))) == 1
      error_message = "site ${var.site}: the routers share a subnet on Azure: give the site one gateway in ${var.inventory}, and its zones none."
    }
  }
}

resource "azurerm_subnet" "nodes" {
  for_each             = local.node_subnets
  name                 = "zone-${each.value}-${replace(each.key, "/", "-")}"
  resource_group_name  = azurerm_resource_group.site.name
  virtual_network_name = azurerm_virtual_network.site.name
  address_prefixes     = [each.key]
}

# What nodes send to other sites goes to the load balancer's address, and from there
# to a router that lives. Nobody has to move these routes.
resource "azurerm_route_table" "nodes" {
  name                = "to-other-sites"
  resource_group_name = azurerm_resource_group.site.name
  location            = azurerm_resource_group.site.location
}

resource "azurerm_route" "site" {
  for_each               = module.mesh.others
  name                   = "${each.value}-${replace(each.key, "/", "-")}"
  resource_group_name    = azurerm_resource_group.site.name
  route_table_name       = azurerm_route_table.nodes.name
  address_prefix         = each.key
  next_hop_type          = "VirtualAppliance"
  next_hop_in_ip_address = local.frontend
}

resource "azurerm_subnet_route_table_association" "nodes" {
  for_each       = azurerm_subnet.nodes
  subnet_id      = each.value.id
  route_table_id = azurerm_route_table.nodes.id
}
