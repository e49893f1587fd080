# What a router may do by itself: see who is there, and publish its host key. Forwarding
# is set here, the load balancer moves the traffic. Each VM has an identity of its own.
resource "azurerm_role_definition" "router" {
  name        = "wgmesh router of ${var.mesh}, ${var.site}"
  scope       = azurerm_resource_group.site.id
  description = "Discovery by azure_rm; cloud_forwarding and publish-host-key read"

  permissions {
    actions = [
      "Microsoft.Compute/virtualMachines/read",
      "Microsoft.Compute/virtualMachines/instanceView/read",
      "Microsoft.Network/networkInterfaces/read",
      "Microsoft.Network/publicIPAddresses/read",
    ]
  }
}

resource "azurerm_role_assignment" "router" {
  for_each           = module.mesh.routers
  scope              = azurerm_resource_group.site.id
  role_definition_id = azurerm_role_definition.router.role_definition_resource_id
  principal_id       = azurerm_linux_virtual_machine.router[each.key].identity[0].principal_id
}

# The host key is a tag of the router's own network interface. No role can be limited to
# one tag, and the VM's own ones say which router it is; those of the interface say
# nothing else.
resource "azurerm_role_definition" "host_key" {
  name        = "wgmesh host key of ${var.mesh}, ${var.site}"
  scope       = azurerm_resource_group.site.id
  description = "Publish a host key, by publish-host-key"

  permissions {
    actions = ["Microsoft.Resources/tags/read", "Microsoft.Resources/tags/write"]
  }
}

resource "azurerm_role_assignment" "host_key" {
  for_each           = module.mesh.routers
  scope              = azurerm_network_interface.router[each.key].id
  role_definition_id = azurerm_role_definition.host_key.role_definition_resource_id
  principal_id       = azurerm_linux_virtual_machine.router[each.key].identity[0].principal_id
}
