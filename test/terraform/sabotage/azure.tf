# What `terraform validate` has to refuse, by the snapshot of the provider's schema.
# expect: An argument named "enable_ip_forwarding" is not expected here
resource "azurerm_network_interface" "misspelt" {
  name                 = "n" # the name that it had before 4.0
  location             = "l"
  resource_group_name  = "g"
  enable_ip_forwarding = true
  ip_configuration {
    name                          = "i"
    private_ip_address_allocation = "Dynamic"
  }
}

# expect: The argument "private_ip_address_allocation" is required
resource "azurerm_network_interface" "missing" {
  name                = "n"
  location            = "l"
  resource_group_name = "g"
  ip_configuration {
    name = "i"
  }
}

# expect: Insufficient ip_configuration blocks
resource "azurerm_network_interface" "block" {
  name                = "n"
  location            = "l"
  resource_group_name = "g"
}

# expect: Inappropriate value for attribute "frontend_port": a number is required
resource "azurerm_lb_rule" "type" {
  name                           = "r"
  loadbalancer_id                = "l"
  protocol                       = "All"
  frontend_port                  = "all"
  backend_port                   = 0
  frontend_ip_configuration_name = "f"
}
