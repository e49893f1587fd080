locals {
  # The last address that Azure leaves free; it gives the first ones to the routers.
  frontend = cidrhost(local.router_subnet, -2)
}

resource "azurerm_lb" "routers" {
  name                = "routers"
  resource_group_name = azurerm_resource_group.site.name
  location            = azurerm_resource_group.site.location
  sku                 = "Standard" # HA ports are of this one, internal, only

  frontend_ip_configuration {
    name                          = "routers"
    subnet_id                     = azurerm_subnet.routers.id
    private_ip_address_allocation = "Static"
    private_ip_address            = local.frontend
    zones                         = ["1", "2", "3"]
  }
}

resource "azurerm_lb_backend_address_pool" "routers" {
  name            = "routers"
  loadbalancer_id = azurerm_lb.routers.id
}

resource "azurerm_network_interface_backend_address_pool_association" "router" {
  for_each                = module.mesh.routers
  network_interface_id    = azurerm_network_interface.router[each.key].id
  ip_configuration_name   = "router"
  backend_address_pool_id = azurerm_lb_backend_address_pool.routers.id
}

# The router answers 200 while it has a BGP session to another site, and 503 without:
# the image has router_health for that (examples/packer). A probe of TCP 22 or 179 says
# yes as well while all tunnels are down, and packets are lost there.
resource "azurerm_lb_probe" "router" {
  name                = "router"
  loadbalancer_id     = azurerm_lb.routers.id
  protocol            = "Http"
  port                = 8179
  request_path        = "/"
  interval_in_seconds = 5 # the least that Azure takes
  probe_threshold     = 1
}

# HA ports: every protocol and port. Floating IP: a packet keeps its destination, and
# what comes back from another site goes to the node directly.
resource "azurerm_lb_rule" "all" {
  name                           = "all"
  loadbalancer_id                = azurerm_lb.routers.id
  protocol                       = "All"
  frontend_port                  = 0
  backend_port                   = 0
  floating_ip_enabled            = true
  frontend_ip_configuration_name = "routers"
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.routers.id]
  probe_id                       = azurerm_lb_probe.router.id
}
