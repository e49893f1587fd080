mock_provider "azurerm" {}

override_resource {
  target = azurerm_public_ip.router["azure-1"]
  values = { ip_address = "203.0.113.11" }
}

override_resource {
  target = azurerm_public_ip.router["azure-2"]
  values = { ip_address = "203.0.113.12" }
}

variables {
  location       = "japaneast"
  image          = "/subscriptions/s/resourceGroups/images/providers/Microsoft.Compute/images/wgmesh-router"
  ssh_public_key = "ssh-ed25519 AAAA ansible"
  ssh_sources    = ["203.0.113.0/24"]
}

# The first run, since user-data of a machine that is there stays as it is.
run "joins_by_itself" {
  variables {
    join_sources = ["../inventory.yml"]
  }
  assert {
    condition = { for key, rule in azurerm_network_security_rule.join : key => "${rule.source_address_prefix} ${rule.destination_port_range}" if startswith(key, "azure-1/") } == {
      "azure-1/azure-2" = "203.0.113.12/32 22", "azure-1/office-1" = "192.0.2.11/32 22", "azure-1/office-2" = "192.0.2.12/32 22"
    }
    error_message = "join: SSH from the peers whose addresses are known"
  }
  assert {
    condition     = strcontains(base64decode(nonsensitive(azurerm_linux_virtual_machine.router["azure-2"].custom_data)), "/etc/wgmesh/join.yml")
    error_message = "join: user-data names the router"
  }
}

run "site" {
  assert {
    condition     = length(azurerm_linux_virtual_machine.router) == 2 && alltrue([for i in azurerm_network_interface.router : i.ip_forwarding_enabled])
    error_message = "forwarding: IP forwarding of every router's interface is on"
  }
  assert {
    condition     = { for name, vm in azurerm_linux_virtual_machine.router : name => [vm.zone, vm.network_interface_ids[0]] } == { for name, zone in { azure-1 = "1", azure-2 = "2" } : name => [zone, azurerm_network_interface.router[name].id] }
    error_message = "every router is in its zone, with its own interface"
  }

  # Tunnels.
  assert {
    condition     = toset([for key, rule in azurerm_network_security_rule.tunnel : rule.destination_port_range if startswith(key, "azure-1/")]) == toset(["51802", "51803", "51806", "51809", "51813", "51818"])
    error_message = "ports: those of the tunnels of azure-1, and no other"
  }
  assert {
    condition     = alltrue([for rule in azurerm_network_security_rule.tunnel : rule.protocol == "Udp" && rule.direction == "Inbound"])
    error_message = "ports: UDP, inbound"
  }
  assert {
    condition = { for key, rule in azurerm_network_security_rule.tunnel : key => rule.source_address_prefix if startswith(key, "azure-1/") } == {
      "azure-1/azure-2" = "203.0.113.12/32", "azure-1/office-1" = "192.0.2.11/32", "azure-1/office-2" = "192.0.2.12/32",
      "azure-1/aws-1"   = "*", "azure-1/aws-2" = "*", "azure-1/gcp-1" = "*"
    }
    error_message = "ports: from the peer where its address is known, else from anywhere"
  }
  assert {
    condition     = length(azurerm_network_security_rule.join) == 0 && alltrue([for rule in azurerm_network_security_rule.ssh : toset(rule.source_address_prefixes) == toset(["203.0.113.0/24"])])
    error_message = "SSH: only from ssh_sources, as no router joins by itself"
  }
  assert {
    condition = length(distinct([
      for rule in concat(values(azurerm_network_security_rule.tunnel), values(azurerm_network_security_rule.ping), values(azurerm_network_security_rule.ssh), values(azurerm_network_security_rule.probe), values(azurerm_network_security_rule.to_others)) :
      "${rule.network_security_group_name} ${rule.priority}"
      ])) == (length(azurerm_network_security_rule.tunnel) + length(azurerm_network_security_rule.ping) + length(azurerm_network_security_rule.ssh) +
      length(azurerm_network_security_rule.probe) + length(azurerm_network_security_rule.to_others)
    )
    error_message = "priorities: none twice in a group and direction"
  }

  # Between sites.
  assert {
    condition = alltrue([
      for rule in azurerm_network_security_rule.from_others : rule.direction == "Outbound" && toset(rule.source_address_prefixes) == toset(["10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/16"])
    ])
    error_message = "sites: a router may send the other sites' packets to the nodes"
  }
  assert {
    condition     = toset(azurerm_network_security_rule.nodes["Inbound"].source_address_prefixes) == toset(["10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/16"])
    error_message = "nodes: the other sites' networks come in"
  }

  # The load balancer.
  assert {
    condition     = azurerm_lb_rule.all.protocol == "All" && azurerm_lb_rule.all.frontend_port == 0 && azurerm_lb_rule.all.backend_port == 0 && azurerm_lb.routers.sku == "Standard"
    error_message = "HA ports: all protocols and ports, on a Standard load balancer"
  }
  assert {
    condition     = azurerm_lb_rule.all.floating_ip_enabled && azurerm_lb_rule.all.probe_id == azurerm_lb_probe.router.id
    error_message = "HA ports: floating IP, and only to routers that the probe reaches"
  }
  assert {
    condition     = toset([for a in azurerm_network_interface_backend_address_pool_association.router : a.network_interface_id]) == toset([for i in azurerm_network_interface.router : i.id])
    error_message = "HA ports: every router is behind the load balancer"
  }
  assert {
    condition = alltrue([for rule in azurerm_network_security_rule.probe : rule.source_address_prefix == "AzureLoadBalancer" &&
    rule.destination_port_range == tostring(azurerm_lb_probe.router.port)])
    error_message = "probe: the routers let it in"
  }
  assert {
    condition     = azurerm_lb_probe.router.protocol == "Http" && azurerm_lb_probe.router.port == 8179
    error_message = "probe: it asks wgmesh-health.socket, not only whether something listens"
  }

  # Routes.
  assert {
    condition = { for network, route in azurerm_route.site : network => [route.next_hop_type, route.next_hop_in_ip_address] } == {
      for network in ["10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/16"] : network => ["VirtualAppliance", azurerm_lb.routers.frontend_ip_configuration[0].private_ip_address]
    }
    error_message = "routes: to the load balancer's address"
  }
  assert {
    condition     = toset([for a in azurerm_subnet_route_table_association.nodes : a.subnet_id]) == toset([for s in azurerm_subnet.nodes : s.id])
    error_message = "routes: the nodes' subnets have them, the routers' own has not"
  }

  # Identity.
  assert {
    condition     = alltrue([for action in azurerm_role_definition.router.permissions[0].actions : endswith(action, "/read")])
    error_message = "role: reads and nothing else"
  }
  assert {
    condition = { for name, a in azurerm_role_assignment.host_key : name => [a.scope, a.principal_id] } == {
      for name, vm in azurerm_linux_virtual_machine.router : name => [azurerm_network_interface.router[name].id, vm.identity[0].principal_id]
    } && toset(azurerm_role_definition.host_key.permissions[0].actions) == toset(["Microsoft.Resources/tags/read", "Microsoft.Resources/tags/write"])
    error_message = "role: a router writes tags of its own network interface, and nothing of another"
  }
  assert {
    condition     = alltrue([for vm in azurerm_linux_virtual_machine.router : vm.identity[0].type == "SystemAssigned"])
    error_message = "identity: each router has its own"
  }
  assert {
    condition = alltrue([
      for vm in azurerm_linux_virtual_machine.router : !strcontains(base64decode(nonsensitive(vm.custom_data)), "PRIVATE") && !strcontains(base64decode(nonsensitive(vm.custom_data)), "ssh_keys")
    ])
    error_message = "user-data: no key is in it"
  }

  # Discovery, and the inventory.
  assert {
    condition = azurerm_linux_virtual_machine.router["azure-1"].tags == tomap({
      mesh = "wan", mesh_id = "3", mesh_site = "azure", mesh_zone = "1", mesh_endpoint = "203.0.113.11"
    })
    error_message = "tags: the inventory's words"
  }
  assert {
    condition = yamldecode(output.inventory).all.children.routers.hosts["azure-1"] == {
      mesh_id      = 3, mesh_site = "azure", mesh_zone = "1", mesh_endpoint = "203.0.113.11"
      ansible_host = "203.0.113.11", ansible_user = "ansible", router_health = true
    }
    error_message = "inventory: what Ansible has to know of azure-1"
  }
  assert {
    condition = alltrue([
      for name, host in yamldecode(file("../../field-case/inventory.yml")).all.children.routers.hosts :
      alltrue([for key, value in host : yamldecode(output.inventory).all.children.routers.hosts[name][key] == value]) if host.mesh_site == "azure"
    ])
    error_message = "inventory: the routers of the field case"
  }
}

run "two_subnets_for_routers" {
  command = plan
  variables {
    site = "aws"
  }
  expect_failures = [azurerm_subnet.routers]
}

run "zone_that_azure_has_not" {
  command = plan
  variables {
    site = "gcp"
  }
  expect_failures = [azurerm_linux_virtual_machine.router]
}

run "image_by_name" {
  command = plan
  variables {
    image = "wgmesh-router"
  }
  expect_failures = [var.image]
}
