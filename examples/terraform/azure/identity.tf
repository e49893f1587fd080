# What a router may do by itself: see who is there. Forwarding is set here, the load
# balancer moves the traffic, so it writes nothing.
resource "azurerm_user_assigned_identity" "router" {
  name                = "router"
  resource_group_name = azurerm_resource_group.site.name
  location            = azurerm_resource_group.site.location
}

resource "azurerm_role_definition" "router" {
  name        = "wgmesh router of ${var.mesh}, ${var.site}"
  scope       = azurerm_resource_group.site.id
  description = "Discovery by azure_rm, and cloud_forwarding that reads"

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
  scope              = azurerm_resource_group.site.id
  role_definition_id = azurerm_role_definition.router.role_definition_resource_id
  principal_id       = azurerm_user_assigned_identity.router.principal_id
}
