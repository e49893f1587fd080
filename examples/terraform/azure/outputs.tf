output "inventory" {
  description = "The site's routers for Ansible, to be given after the mesh's own: -i ../inventory.yml -i azure.yml."
  value = yamlencode({ all = { children = { routers = { hosts = {
    for name, router in module.mesh.routers : name => merge(
      { for key, value in coalesce(azurerm_network_interface.router[name].tags, {}) : key => value if key == "mesh_host_key" },
      { for key, value in local.tags[name] : key => value if startswith(key, "mesh_") },
      {
        mesh_id       = router.id
        router_health = true # the balancer's probe; the image need not have said it
        ansible_host  = azurerm_public_ip.router[name].ip_address
        ansible_user  = var.admin
      },
    )
  } } } } })
}

output "endpoints" {
  description = "mesh_endpoint by router."
  value       = { for name, address in azurerm_public_ip.router : name => address.ip_address }
}

output "node_subnets" {
  description = "Subnets for the site's nodes, by network. Their route table and security group are set."
  value       = { for network, subnet in azurerm_subnet.nodes : network => subnet.id }
}

output "next_hop" {
  description = "The load balancer's address: the next hop for route tables of your own."
  value       = local.frontend
}
