locals {
  # Where a peer's packets come from: of this site, the address made here; of another,
  # what the inventory says. Null: from anywhere, and WireGuard tells who it is.
  peers = {
    for key, tunnel in module.mesh.tunnels : key => merge(tunnel, {
      source = tunnel.own_site ? azurerm_public_ip.router[tunnel.peer].ip_address : tunnel.endpoint
      known  = tunnel.own_site || tunnel.endpoint != null
    })
  }
  known_peers = { for key, tunnel in local.peers : key => tunnel if tunnel.known }
}

# A tunnel has a port of its own at each router, so each router has a group. A rule's
# priority follows from the peer's id, so that it never moves when routers come or go.
resource "azurerm_network_security_group" "router" {
  for_each            = module.mesh.routers
  name                = each.key
  resource_group_name = azurerm_resource_group.site.name
  location            = azurerm_resource_group.site.location
}

resource "azurerm_network_interface_security_group_association" "router" {
  for_each                  = module.mesh.routers
  network_interface_id      = azurerm_network_interface.router[each.key].id
  network_security_group_id = azurerm_network_security_group.router[each.key].id
}

resource "azurerm_network_security_rule" "tunnel" {
  for_each                    = local.peers
  name                        = "wireguard-${each.value.peer}"
  resource_group_name         = azurerm_resource_group.site.name
  network_security_group_name = azurerm_network_security_group.router[each.value.router].name
  priority                    = 1000 + each.value.peer_id
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Udp"
  source_address_prefix       = !each.value.known ? "*" : "${each.value.source}/32"
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = tostring(each.value.port)
}

# Pings outside of the tunnels: mesh_status_info and mesh_measure_info send them.
resource "azurerm_network_security_rule" "ping" {
  for_each                    = local.known_peers
  name                        = "ping-${each.value.peer}"
  resource_group_name         = azurerm_resource_group.site.name
  network_security_group_name = azurerm_network_security_group.router[each.value.router].name
  priority                    = 1400 + each.value.peer_id
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Icmp"
  source_address_prefix       = "${each.value.source}/32"
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "*"
}

resource "azurerm_network_security_rule" "join" {
  for_each                    = module.mesh.joins ? local.known_peers : {}
  name                        = "join-${each.value.peer}"
  resource_group_name         = azurerm_resource_group.site.name
  network_security_group_name = azurerm_network_security_group.router[each.value.router].name
  priority                    = 1800 + each.value.peer_id
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefix       = "${each.value.source}/32"
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "22"
}

resource "azurerm_network_security_rule" "ssh" {
  for_each                    = length(module.mesh.ssh_sources) > 0 ? module.mesh.routers : {}
  name                        = "ansible"
  resource_group_name         = azurerm_resource_group.site.name
  network_security_group_name = azurerm_network_security_group.router[each.key].name
  priority                    = 300
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefixes     = module.mesh.ssh_sources
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "22"
}

# The load balancer's probe, which comes from 168.63.129.16. Azure's default rules let
# it in; a rule of your own that denies the rest would not.
resource "azurerm_network_security_rule" "probe" {
  for_each                    = module.mesh.routers
  name                        = "probe"
  resource_group_name         = azurerm_resource_group.site.name
  network_security_group_name = azurerm_network_security_group.router[each.key].name
  priority                    = 200
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_address_prefix       = "AzureLoadBalancer"
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = tostring(azurerm_lb_probe.router.port)
}

# Between this site and the others, both ways. A packet keeps its addresses, and those
# of other sites are neither VirtualNetwork nor Internet for Azure's default rules.
resource "azurerm_network_security_rule" "to_others" {
  for_each                     = module.mesh.routers
  name                         = "to-other-sites"
  resource_group_name          = azurerm_resource_group.site.name
  network_security_group_name  = azurerm_network_security_group.router[each.key].name
  priority                     = 400
  direction                    = "Inbound"
  access                       = "Allow"
  protocol                     = "*"
  source_address_prefixes      = module.mesh.networks
  source_port_range            = "*"
  destination_address_prefixes = concat(module.mesh.networks, keys(module.mesh.others))
  destination_port_range       = "*"
}

resource "azurerm_network_security_rule" "from_others" {
  for_each                     = module.mesh.routers
  name                         = "from-other-sites"
  resource_group_name          = azurerm_resource_group.site.name
  network_security_group_name  = azurerm_network_security_group.router[each.key].name
  priority                     = 400
  direction                    = "Outbound"
  access                       = "Allow"
  protocol                     = "*"
  source_address_prefixes      = keys(module.mesh.others)
  source_port_range            = "*"
  destination_address_prefixes = module.mesh.networks
  destination_port_range       = "*"
}

# The same at the nodes. Narrow it here if not everything may reach everything.
resource "azurerm_network_security_group" "nodes" {
  name                = "nodes"
  resource_group_name = azurerm_resource_group.site.name
  location            = azurerm_resource_group.site.location
}

resource "azurerm_subnet_network_security_group_association" "nodes" {
  for_each                  = azurerm_subnet.nodes
  subnet_id                 = each.value.id
  network_security_group_id = azurerm_network_security_group.nodes.id
}

resource "azurerm_network_security_rule" "nodes" {
  for_each                     = { Inbound = "from-other-sites", Outbound = "to-other-sites" }
  name                         = each.value
  resource_group_name          = azurerm_resource_group.site.name
  network_security_group_name  = azurerm_network_security_group.nodes.name
  priority                     = 400
  direction                    = each.key
  access                       = "Allow"
  protocol                     = "*"
  source_address_prefixes      = each.key == "Inbound" ? keys(module.mesh.others) : module.mesh.networks
  source_port_range            = "*"
  destination_address_prefixes = each.key == "Inbound" ? module.mesh.networks : keys(module.mesh.others)
  destination_port_range       = "*"
}
