locals {
  # What the inventory plugin azure.azcollection.azure_rm makes the routers' variables of.
  tags = {
    for name, router in module.mesh.routers : name => merge({
      mesh          = var.mesh
      mesh_id       = tostring(router.id)
      mesh_site     = var.site
      mesh_zone     = router.zone
      mesh_endpoint = azurerm_public_ip.router[name].ip_address
    }, router.host_key == null ? {} : { mesh_host_key = router.host_key })
  }
}

# Addresses outlive the machines: a router that is made again keeps its own.
resource "azurerm_public_ip" "router" {
  for_each            = module.mesh.routers
  name                = each.key
  resource_group_name = azurerm_resource_group.site.name
  location            = azurerm_resource_group.site.location
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = [each.value.zone]
}

resource "azurerm_network_interface" "router" {
  for_each                       = module.mesh.routers
  name                           = each.key
  resource_group_name            = azurerm_resource_group.site.name
  location                       = azurerm_resource_group.site.location
  ip_forwarding_enabled          = true # it forwards packets that are not its own
  accelerated_networking_enabled = true

  ip_configuration {
    name                          = "router"
    subnet_id                     = azurerm_subnet.routers.id
    private_ip_address_allocation = "Dynamic"
    public_ip_address_id          = azurerm_public_ip.router[each.key].id
  }

  tags = { mesh = var.mesh }

  # The router publishes its host key there.
  lifecycle {
    ignore_changes = [tags["mesh_host_key"]]
  }
}

resource "azurerm_linux_virtual_machine" "router" {
  for_each              = module.mesh.routers
  name                  = each.key
  resource_group_name   = azurerm_resource_group.site.name
  location              = azurerm_resource_group.site.location
  zone                  = each.value.zone
  size                  = var.size
  source_image_id       = lookup(var.images, each.key, var.image)
  network_interface_ids = [azurerm_network_interface.router[each.key].id]
  admin_username        = var.admin
  custom_data           = base64encode(module.mesh.user_data[each.key])
  tags                  = local.tags[each.key]

  admin_ssh_key {
    username   = var.admin
    public_key = var.ssh_public_key
  }

  os_disk {
    caching              = "ReadWrite"
    storage_account_type = "Premium_LRS"
  }

  identity {
    type = "SystemAssigned"
  }

  # custom_data is for the first boot. A changed inventory must not replace running routers.
  lifecycle {
    ignore_changes = [custom_data]

    precondition {
      condition     = contains(["1", "2", "3"], each.value.zone)
      error_message = "${each.key}: mesh_zone is ${each.value.zone} in ${var.inventory}; Azure's zones are 1, 2 and 3."
    }
  }
}

check "endpoints" {
  assert {
    condition = alltrue([
      for name, router in module.mesh.routers : router.endpoint == null ? true : router.endpoint == azurerm_public_ip.router[name].ip_address
    ])
    error_message = "${var.inventory}: mesh_endpoint of a router is not the address that it got. Bring the addresses of the output endpoints there, or take those lines out."
  }
}
